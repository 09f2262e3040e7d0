// Free small blocks of one process: a list for each size class.
//
// Invariants, under the heap's lock:
//   (P1) A block in `free` lies in a chunk in `chunks`, which is SMALL(class, me), its tag is FREE,
//        and it is listed once.
//   (P2) In a SMALL(me) chunk a FREE tag becomes another one only by `take`. So a plain store does
//        it: nobody else's CAS expects FREE.
// A block that this process frees goes back on the list. One that another frees only gets its tag:
// it is found when the list has run empty and the chunks are looked through, which is when no FREE
// tag can be listed (P1).
//
// All of it is private. When the process dies, the launcher reads the tags and makes the chunks
// orphans.
#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "dshm/shm/chunk_table.hpp"

namespace dshm::shm {

class BlockPools {
public:
    explicit BlockPools(ChunkTable& table) : table_(table) {}

    // A block of the class, tagged `tag`; 0 when the pool needs another chunk.
    Offset take(unsigned size_class, Tag tag) {
        Pool& pool = pools_[size_class];
        if (pool.free.empty() && !refill(pool, size_class))
            return 0;
        return pop(pool, size_class, tag);
    }
    // The same, looking through every chunk of the class: for when no other chunk can be had.
    Offset take_thoroughly(unsigned size_class, Tag tag);

    // A block of one of this process's chunks whose tag has just become FREE.
    void put(unsigned size_class, Offset block) {
        Pool& pool = pools_[size_class];
        pool.free.push_back(block); // never allocates: add_chunk reserved room for every block
        if (pool.free.size() >= pool.compact_at)
            compact(size_class, spare_chunks);
    }

    // Makes a claimed chunk one of the pool's, or adopts an orphan. False when another process
    // adopted it first.
    bool add_chunk(unsigned size_class, ChunkTable::Claim claim);

    // Gives back the chunks that hold nothing.
    void trim();

private:
    struct Pool {
        std::vector<Offset> free;
        std::vector<Chunk> chunks;
        std::size_t cursor = 0;
        std::size_t compact_at = 0;
        bool wants_chunk = false; // the last look through the chunks was hardly worth it
    };

    // Chunks that hold nothing and are kept all the same, for each class.
    static constexpr std::size_t spare_chunks = 2;
    // Chunks looked through in one refill. A share of 1/8 of free blocks is found, so at most that
    // share is wasted.
    static constexpr std::size_t chunks_per_refill = 8;

    Offset pop(Pool& pool, unsigned size_class, Tag tag) {
        const Offset block = pool.free.back();
        pool.free.pop_back();
        const Offset chunk = block / chunk_size * chunk_size;
        const SizeClass& shape = size_classes[size_class];
        const auto index =
            shape.index_at(static_cast<std::uint32_t>(block - chunk) - shape.first_block);
        // P2: a store is enough. release, edge `block-tagged`: the former user's accesses stay
        // before it.
        table_.block_tags(table_.chunk_of(chunk))[index].store(tag.bits, std::memory_order_release);
        return block;
    }

    bool refill(Pool& pool, unsigned size_class);
    std::size_t collect(Pool& pool, unsigned size_class, Chunk chunk);
    void shed_spare(Pool& pool, unsigned size_class);
    void compact(unsigned size_class, std::size_t keep);
    bool enter(unsigned size_class, ChunkTable::Claim claim);

    ChunkTable& table_;
    std::array<Pool, size_class_count> pools_;
};

} // namespace dshm::shm
