// The launcher's half of the heap: what a dead process owned, and what it had handed to tasks that
// never came to be. Walks over the whole table; correctness is argued in chunk_table.hpp. What it reads
// there may be damaged: no state makes it leave the table or touch a chunk without pages.
#include <algorithm>

#include "dshm/shm/heap.hpp"

namespace dshm::shm {

// ------------------------------------------------------------------------------------------------
// After a death
// ------------------------------------------------------------------------------------------------

void Heap::recover(Owner dead) {
    const TagReaders::Scope reading(tag_readers_);
    const Chunk end = table_.end_of_walk();
    for (Chunk chunk = 0; chunk < end;) {
        const ChunkState state = table_.state(chunk);
        if (state == ChunkState::pristine_part(dead))
            table_.set_state(chunk, ChunkState::clean());
        else if (state == ChunkState::part(dead))
            table_.set_state(chunk, ChunkState::free());
        else if (state.kind() == ChunkKind::head)
            recover_run(chunk, state, dead);
        else if (table_.has_blocks(chunk, state))
            recover_small(chunk, state, dead);
        chunk += state.span();
    }
    tag_readers_.forget(dead);
}

// A run that the dead process owned, was taking apart or kept warm is taken apart in its name: if
// this is interrupted, the next walk finds what it would have found had the dead one died there.
void Heap::recover_run(Chunk chunk, ChunkState state, Owner dead) {
    const Tag tag = table_.run_tag(chunk);
    // The CAS fails when a living process has taken the dead one's WARM run meanwhile: then it is
    // that one's.
    if (tag.names(dead) && state.length() <= table_.top() - chunk &&
        table_.change_run_tag(chunk, tag, Tag::leaving(dead)))
        table_.dissolve({chunk, state.length()}, dead);
}

// The dead process's own blocks may lie in chunks of others, to whom it owes nothing. While one of
// its blocks is here the chunk cannot be given back by its owner, so a tag that names it is a tag.
void Heap::recover_small(Chunk chunk, ChunkState state, Owner dead) {
    Word64* const tags = table_.block_tags(chunk);
    const unsigned size_class = state.size_class();
    std::for_each(tags, tags + size_classes[size_class].block_count, [dead](Word64& tag) {
        // acquire: only the order of the launcher's own steps rests on it.
        if (tag.load(std::memory_order_acquire) == Tag::own(dead).bits)
            change(tag, Tag::own(dead), Tag{});
    });
    if (state == ChunkState::small(size_class, dead))
        // The launcher's alone now. Nobody hands out its blocks (P2), so "all free" stays true.
        table_.set_state(chunk, table_.all_blocks_free(chunk, size_class)
                                    ? ChunkState::free()
                                    : ChunkState::orphan(size_class));
    else
        free_empty_orphan(chunk, state);
}

// "All free" stays true unless the orphan is adopted; then the CAS fails. It cannot be an orphan
// with blocks in use by then, because only the launcher's one thread, which is here, makes those.
void Heap::free_empty_orphan(Chunk chunk, ChunkState state) {
    if (state.kind() == ChunkKind::orphan && table_.all_blocks_free(chunk, state.size_class()))
        table_.change_state(chunk, state, ChunkState::free());
}

bool Heap::free_in_name_of(Owner dead, Offset block, Tag expected) {
    const Place place = locate(block);
    if (place.tag == nullptr || !expected.in_use())
        return false;
    return place.state.kind() == ChunkKind::head ? dissolve_run(place, expected, dead)
                                                 : change(*place.tag, expected, Tag{});
}

bool Heap::dissolve_run(const Place& place, Tag expected, Owner name) {
    if (!change(*place.tag, expected, Tag::leaving(name)))
        return false;
    // Ours now, so its length stands still.
    table_.dissolve({place.chunk, table_.state(place.chunk).length()}, name);
    return true;
}

// ------------------------------------------------------------------------------------------------
// Blocks of tasks and objects that are gone
// ------------------------------------------------------------------------------------------------

std::size_t Heap::sweep(bool (*wanted)(void*, Tag), void* predicate) {
    const TagReaders::Scope reading(tag_readers_);
    std::size_t freed = 0;
    const Chunk end = table_.end_of_walk();
    for (Chunk chunk = 0; chunk < end;) {
        const ChunkState state = table_.state(chunk);
        if (state.kind() == ChunkKind::head)
            freed += sweep_run(chunk, wanted, predicate) ? 1 : 0;
        else if (table_.has_blocks(chunk, state))
            freed += sweep_small(chunk, state, wanted, predicate);
        chunk += state.span();
    }
    return freed;
}

std::size_t Heap::sweep_small(Chunk chunk, ChunkState state, bool (*wanted)(void*, Tag),
                              void* predicate) {
    std::size_t freed = 0;
    Word64* const tags = table_.block_tags(chunk);
    for (std::uint32_t i = 0; i < size_classes[state.size_class()].block_count; ++i) {
        // acquire: the look at the state below comes after it.
        const Tag tag{tags[i].load(std::memory_order_acquire)};
        if (!tag.handed_over() || wanted(predicate, tag))
            continue;
        // The chunk may have been given back since. If it has the same state now, the word at hand
        // is a tag again, and the CAS compares all of it.
        if (table_.state(chunk) != state)
            return freed;
        freed += free(table_.offset_of(chunk) + size_classes[state.size_class()].offset_of(i), tag);
    }
    free_empty_orphan(chunk, state);
    return freed;
}

bool Heap::sweep_run(Chunk chunk, bool (*wanted)(void*, Tag), void* predicate) {
    const Tag tag = table_.run_tag(chunk);
    if (!tag.handed_over() || wanted(predicate, tag))
        return false;
    const Place place = locate(table_.offset_of(chunk));
    return place.tag == &table_.run_tag_word(chunk) && dissolve_run(place, tag, table_.me());
}

// ------------------------------------------------------------------------------------------------
// Counting
// ------------------------------------------------------------------------------------------------

namespace {

void count_small(const ChunkTable& table, Chunk chunk, const SizeClass& shape,
                 HeapStatistics& count) {
    const Word64* const tags = table.block_tags(chunk);
    const auto used = static_cast<std::size_t>(
        std::count_if(tags, tags + shape.block_count, [](const Word64& tag) {
            // relaxed: a statistic, nothing is read on the strength of it.
            return tag.load(std::memory_order_relaxed) != Tag{}.bits;
        }));
    count.blocks_in_use += used;
    count.used_small += used * shape.block_size;
    count.free_small += (shape.block_count - used) * shape.block_size;
    count.small_overhead += chunk_size - std::size_t{shape.block_count} * shape.block_size;
}

void count_run(Tag tag, std::size_t bytes, HeapStatistics& count) {
    if (tag.kind() == TagKind::warm)
        count.warm += bytes;
    else if (tag.kind() == TagKind::leaving)
        count.unfinished += bytes;
    else {
        count.used_large += bytes;
        ++count.blocks_in_use;
    }
}

void count_chunk(ChunkState state, HeapStatistics& count) {
    (state.kind() == ChunkKind::clean  ? count.clean_chunks
     : state.kind() == ChunkKind::free ? count.free_chunks
                                       : count.unfinished) += chunk_size;
}

} // namespace

HeapStatistics Heap::statistics() const {
    const TagReaders::Scope reading(tag_readers_);
    HeapStatistics count{};
    const Chunk end = table_.end_of_walk();
    count.capacity = table_.capacity() * chunk_size;
    count.opened = end * chunk_size;
    // Nothing lies beyond the top.
    count.backed = segment_.backing().backed_bytes_below(table_.offset_of(end));
    for (Chunk chunk = 0; chunk < end;) {
        const ChunkState state = table_.state(chunk);
        count.orphaned_chunks += state.kind() == ChunkKind::orphan ? 1 : 0;
        if (state.kind() == ChunkKind::head)
            count_run(table_.run_tag(chunk), state.span() * chunk_size, count);
        else if (table_.has_blocks(chunk, state))
            count_small(table_, chunk, size_classes[state.size_class()], count);
        else
            count_chunk(state, count);
        chunk += state.span();
    }
    return count;
}

} // namespace dshm::shm
