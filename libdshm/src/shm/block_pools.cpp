#include "dshm/shm/block_pools.hpp"

#include <algorithm>

#include "dshm/base/scope_guard.hpp"

namespace dshm::shm {

Offset BlockPools::take_thoroughly(unsigned size_class, Tag tag) {
    Pool& pool = pools_[size_class];
    if (pool.free.empty())
        for (const Chunk chunk : pool.chunks)
            collect(pool, size_class, chunk);
    return pool.free.empty() ? 0 : pop(pool, size_class, tag);
}

// Looks through a few chunks, those that were looked at longest ago first, for blocks that other
// processes freed.
bool BlockPools::refill(Pool& pool, unsigned size_class) {
    if (pool.wants_chunk)
        return false;
    const std::size_t enough = size_classes[size_class].block_count / 16 + 1;
    const std::size_t looks = std::min(chunks_per_refill, pool.chunks.size());
    for (std::size_t look = 0; look < looks && pool.free.size() < enough; ++look) {
        collect(pool, size_class, pool.chunks[pool.cursor]);
        pool.cursor = (pool.cursor + 1) % pool.chunks.size();
    }
    // Otherwise a nearly full pool would be looked through again and again for a block each.
    pool.wants_chunk = pool.free.size() < enough;
    if (!pool.wants_chunk && pool.chunks.size() > chunks_per_refill)
        shed_spare(pool, size_class);
    return !pool.free.empty();
}

// The free blocks of a chunk go on the list, the first of them on top.
std::size_t BlockPools::collect(Pool& pool, unsigned size_class, Chunk chunk) {
    const SizeClass& shape = size_classes[size_class];
    const Word64* tags = table_.block_tags(chunk);
    const std::size_t before = pool.free.size();
    for (std::uint32_t index = shape.block_count; index-- > 0;)
        // acquire, edge `block-freed`: whoever freed the block is done with it.
        if (tags[index].load(std::memory_order_acquire) == Tag{}.bits)
            pool.free.push_back(table_.offset_of(chunk) + shape.offset_of(index));
    return pool.free.size() - before;
}

// A burst is over when the next two chunks in turn hold nothing: one goes back. None of its blocks
// is listed, because the chunks at the cursor were looked at longest ago and the list was empty
// since.
void BlockPools::shed_spare(Pool& pool, unsigned size_class) {
    const std::size_t next = (pool.cursor + 1) % pool.chunks.size();
    const Chunk spare = pool.chunks[pool.cursor];
    if (!table_.all_blocks_free(spare, size_class) ||
        !table_.all_blocks_free(pool.chunks[next], size_class))
        return;
    pool.chunks.erase(pool.chunks.begin() + static_cast<std::ptrdiff_t>(pool.cursor));
    pool.cursor %= pool.chunks.size();
    table_.set_state(spare, ChunkState::free());
}

bool BlockPools::add_chunk(unsigned size_class, ChunkTable::Claim claim) {
    Pool& pool = pools_[size_class];
    const std::size_t block_count = size_classes[size_class].block_count;
    base::ScopeGuard give_up([&] {
        if (claim.found == ChunkTable::Found::claimed)
            table_.release(claim.run);
    });
    const std::size_t blocks = (pool.chunks.size() + 1) * block_count;
    if (pool.free.capacity() < blocks)
        pool.free.reserve(std::max(blocks, 2 * pool.free.capacity()));
    pool.chunks.push_back(claim.run.first);
    give_up.dismiss();
    if (!enter(size_class, claim)) {
        pool.chunks.pop_back();
        return false;
    }
    collect(pool, size_class, claim.run.first);
    pool.compact_at = std::max(pool.compact_at, 2 * chunks_per_refill * block_count);
    pool.wants_chunk = false;
    return true;
}

bool BlockPools::enter(unsigned size_class, ChunkTable::Claim claim) {
    const Chunk chunk = claim.run.first;
    const ChunkState small = ChunkState::small(size_class, table_.me());
    if (claim.found == ChunkTable::Found::orphan)
        return table_.change_state(chunk, ChunkState::orphan(size_class), small);
    if (!table_.state(chunk).pristine()) {
        Word64* const tags = table_.block_tags(chunk);
        for (std::uint32_t index = 0; index < size_classes[size_class].block_count; ++index)
            // relaxed: the commit below releases them.
            tags[index].store(Tag{}.bits, std::memory_order_relaxed);
    }
    table_.set_state(chunk, small); // the commit, edge `chunk-claimed`
    return true;
}

void BlockPools::trim() {
    for (unsigned size_class = 0; size_class < size_class_count; ++size_class)
        compact(size_class, 0);
}

// Lists what is free anew, so that chunks that hold nothing can go back. Costs a look at every tag
// of the class, so it comes only after at least half of the blocks were freed.
void BlockPools::compact(unsigned size_class, std::size_t keep) {
    Pool& pool = pools_[size_class];
    const std::size_t block_count = size_classes[size_class].block_count;
    pool.free.clear();
    const auto goes_back = [&](Chunk chunk) {
        const std::size_t before = pool.free.size();
        if (collect(pool, size_class, chunk) < block_count)
            return false;
        if (keep != 0) {
            --keep;
            return false;
        }
        pool.free.resize(before);
        table_.set_state(chunk, ChunkState::free());
        return true;
    };
    pool.chunks.erase(std::remove_if(pool.chunks.begin(), pool.chunks.end(), goes_back),
                      pool.chunks.end());
    pool.cursor = 0;
    pool.compact_at = std::max({2 * chunks_per_refill * block_count,
                                pool.chunks.size() * block_count / 2, 2 * pool.free.size()});
    pool.wants_chunk = false;
}

} // namespace dshm::shm
