#include "catch.hpp"

#include "dshm/shm/heap_classes.hpp"

using namespace dshm::shm;

TEST_CASE("a class's blocks and tags fit into a chunk, aligned") {
    for (const SizeClass& shape : size_classes) {
        CAPTURE(shape.block_size);
        CHECK(shape.block_size % block_alignment == 0);
        CHECK(shape.first_block % block_alignment == 0);
        CHECK(shape.block_count * sizeof(std::uint64_t) <= shape.first_block);
        CHECK(shape.offset_of(shape.block_count) <= chunk_size);
        // No further block would fit.
        CHECK(chunk_size - shape.offset_of(shape.block_count) < shape.block_size);
    }
}

TEST_CASE("every size gets the smallest class that holds it") {
    for (std::size_t bytes = 0; bytes <= largest_small_block; ++bytes) {
        const unsigned size_class = size_class_of(bytes);
        const bool holds = size_classes[size_class].block_size >= bytes;
        const bool smallest = size_class == 0 || size_classes[size_class - 1].block_size < bytes;
        if (!holds || !smallest)
            FAIL("wrong class " << size_class << " for " << bytes << " bytes");
    }
}

TEST_CASE("the reciprocal divides exactly") {
    for (const SizeClass& shape : size_classes)
        for (std::uint32_t distance = 0; distance < chunk_size; ++distance)
            if (shape.index_at(distance) != distance / shape.block_size)
                FAIL("wrong index at " << distance << " of " << shape.block_size);
}
