// Size classes of small blocks, and where the blocks of a class lie in their chunk.
//
//   0              8 n     first_block                                            65536
//   | tag 0 … tag n-1 | pad | block 0 | block 1 | … | block n-1 | rest (< one block) |
//
// All blocks of a chunk have one size, a multiple of 64 bytes, and start on a multiple of 64. About
// four steps for each power of two, so that at most a fifth of a block is wasted; beyond 8 KiB a
// step is one block fewer in the chunk. Computed by the compiler; every process of a build has the
// same table, and layout_test.cpp writes it down.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "dshm/base/bits.hpp"
#include "dshm/shm/layout.hpp"

namespace dshm::shm {

inline constexpr std::size_t block_alignment = 64;

struct SizeClass {
    std::uint32_t block_size;
    std::uint32_t block_count;
    std::uint32_t first_block; // offset in the chunk
    std::uint32_t reciprocal;  // ceil(2^32 / block_size)

    // Index of the block that starts `distance` bytes behind the first; exact for every distance
    // below a chunk's size, because 65536 × 65536 ≤ 2^32. Several times cheaper than a division.
    constexpr std::uint32_t index_at(std::uint32_t distance) const {
        return static_cast<std::uint32_t>(std::uint64_t{distance} * reciprocal >> 32);
    }
    constexpr std::uint32_t offset_of(std::uint32_t index) const {
        return first_block + index * block_size;
    }
};

namespace detail {

inline constexpr std::array<std::uint32_t, 30> wanted_sizes = {
    64,   128,  192,  256,  320,  384,  448,  512,  640,  768,  896,   1024,  1280,  1536,  1792,
    2048, 2560, 3072, 3584, 4096, 5120, 6144, 7168, 8128, 9344, 10880, 13056, 16320, 21824, 32704};

constexpr std::uint32_t tags_end(std::uint32_t count) {
    return static_cast<std::uint32_t>(
        base::round_up(count * sizeof(std::uint64_t), block_alignment));
}

// As many blocks of the wanted size as fit, then as large as that number allows.
constexpr SizeClass make_class(std::uint32_t wanted) {
    std::uint32_t count = chunk_size / wanted;
    while (tags_end(count) + count * wanted > chunk_size)
        --count;
    const auto room = static_cast<std::uint32_t>(chunk_size - tags_end(count));
    const auto size = static_cast<std::uint32_t>(room / count / block_alignment * block_alignment);
    const auto reciprocal = static_cast<std::uint32_t>(base::ceil_div(std::size_t{1} << 32, size));
    return {size, count, tags_end(count), reciprocal};
}

constexpr auto make_classes() {
    std::array<SizeClass, wanted_sizes.size()> classes{};
    for (std::size_t i = 0; i < classes.size(); ++i)
        classes[i] = make_class(wanted_sizes[i]);
    return classes;
}

} // namespace detail

inline constexpr auto size_classes = detail::make_classes();
inline constexpr std::size_t size_class_count = size_classes.size();
inline constexpr std::size_t largest_small_block = size_classes.back().block_size;

namespace detail {

constexpr auto make_class_lookup() {
    std::array<std::uint8_t, largest_small_block / block_alignment> lookup{};
    std::size_t size_class = 0;
    for (std::size_t i = 0; i < lookup.size(); ++i) {
        if ((i + 1) * block_alignment > size_classes[size_class].block_size)
            ++size_class;
        lookup[i] = static_cast<std::uint8_t>(size_class);
    }
    return lookup;
}

inline constexpr auto class_lookup = make_class_lookup();

} // namespace detail

// The smallest class whose blocks hold `bytes`, which is at most largest_small_block. 0 bytes take
// the smallest block.
constexpr unsigned size_class_of(std::size_t bytes) {
    return detail::class_lookup[bytes == 0 ? 0 : (bytes - 1) / block_alignment];
}

} // namespace dshm::shm
