#include "dshm/shm/heap.hpp"

#include <cstring>
#include <string>

#include "dshm/base/check.hpp"
#include "dshm/base/scope_guard.hpp"
#include "dshm/os/pages.hpp"

namespace dshm::shm {

Heap::Heap(Segment& segment, Owner me)
    : segment_(segment), table_(segment, me), tag_readers_(segment.header(), me), pools_(table_),
      runs_(table_), huge_pages_(segment.header().huge_pages != 0) {}

// ------------------------------------------------------------------------------------------------
// Allocating
// ------------------------------------------------------------------------------------------------

Block Heap::allocate(std::size_t bytes, Tag tag) {
    DSHM_CHECK(tag.in_use(), "a block is allocated under the tag of a process, task or object");
    if (bytes <= largest_small_block) {
        const unsigned size_class = size_class_of(bytes);
        return {allocate_small(size_class, tag), size_classes[size_class].block_size};
    }
    return block_of(allocate_run(bytes, tag, Fill::none));
}

Offset Heap::allocate_small(unsigned size_class, Tag tag) {
    for (;;) {
        {
            const PrivateLock::Guard guard(lock_);
            if (const Offset block = pools_.take(size_class, tag))
                return block;
        }
        try {
            const auto claimed = claim({1, size_class}, size_classes[size_class].block_size);
            const PrivateLock::Guard guard(lock_);
            if (pools_.add_chunk(size_class, claimed))
                if (const Offset block = pools_.take(size_class, tag))
                    return block;
        } catch (const SharedMemoryExhausted&) {
            const PrivateLock::Guard guard(lock_);
            if (const Offset block = pools_.take_thoroughly(size_class, tag))
                return block;
            throw;
        }
    }
}

Block Heap::allocate_zeroed(std::size_t bytes, Tag tag) {
    DSHM_CHECK(tag.in_use(), "a block is allocated under the tag of a process, task or object");
    if (bytes > largest_small_block)
        return block_of(allocate_run(bytes, tag, Fill::zeros));
    const Block block = allocate(bytes, tag);
    std::memset(segment_.at<std::byte>(block.offset), 0, block.size);
    return block;
}

Run Heap::allocate_run(std::size_t bytes, Tag tag, Fill fill) {
    if (bytes > table_.capacity() * chunk_size)
        throw_exhausted(bytes);
    const std::uint64_t length = base::ceil_div(bytes, chunk_size);
    if (const std::optional<Run> warm = take_warm(length, tag)) {
        if (fill == Fill::zeros)
            std::memset(table_.address_of(warm->first), 0, warm->length * chunk_size);
        return *warm;
    }
    const Run run = claim({length, {}}, bytes).run;
    if (fill == Fill::zeros)
        fill_with_zeros(run);
    table_.set_run_tag(run.first, tag);
    // Commit, edge `run-committed`. T2: the tails are PART(me). T3: nothing but zeros was written
    // to a pristine chunk.
    table_.set_state(run.first, ChunkState::head(length));
    const PrivateLock::Guard guard(lock_);
    runs_.remember(run);
    return run;
}

std::optional<Run> Heap::take_warm(std::uint64_t length, Tag tag) {
    const PrivateLock::Guard guard(lock_);
    return runs_.take(length, tag);
}

// Before the commit, while each chunk still tells whether it was ever used.
void Heap::fill_with_zeros(Run run) {
    for (Chunk chunk = run.first; chunk < run.first + run.length; ++chunk)
        if (!table_.state(chunk).pristine())
            std::memset(table_.address_of(chunk), 0, chunk_size);
}

// A claim whose pages are there. A full file system, or a full heap, first gives back what is kept
// for quick reuse. If that is not in one piece, the pages of all that is free go back, and are asked
// for again where they are wanted.
ChunkTable::Claim Heap::claim(ChunkTable::Wanted wanted, std::size_t bytes) {
    try {
        return back(claim_any(wanted, bytes));
    } catch (const SharedMemoryExhausted&) {
        reclaim();
        if (const auto backed = table_.find_anywhere(wanted, ChunkTable::Pages::backed_only))
            return back(*backed); // T5: they may have gone before the claim
        if (!pages_can_be_had(wanted.length * chunk_size))
            throw;
    }
    table_.give_back_available();
    return back(claim_any(wanted, bytes));
}

bool Heap::pages_can_be_had(std::size_t bytes) const {
    const std::size_t free = table_.available(ChunkTable::Pages::backed_only) * chunk_size;
    return free != 0 && bytes <= free + table_.backing().space_left();
}

ChunkTable::Claim Heap::claim_any(ChunkTable::Wanted wanted, std::size_t bytes) {
    if (const auto found = table_.find(wanted))
        return *found;
    reclaim();
    table_.open_all();
    if (const auto found = table_.find_anywhere(wanted, ChunkTable::Pages::any))
        return *found;
    throw_exhausted(bytes);
}

ChunkTable::Claim Heap::back(const ChunkTable::Claim& claim) {
    if (claim.found == ChunkTable::Found::orphan)
        return claim;
    base::ScopeGuard give_up([&] { table_.release(claim.run); });
    const Offset offset = table_.offset_of(claim.run.first);
    const std::size_t bytes = claim.run.length * chunk_size;
    PageMaker* const maker = PageMaker::installed(bytes);
    if (maker != nullptr || huge_pages_)
        make_pages(claim.run, maker);
    table_.backing().ensure(offset, bytes);
    give_up.dismiss();
    return claim;
}

// Others than `ensure` make the pages, or some of them. What is there when they fail and has not been
// counted goes again.
void Heap::make_pages(Run run, PageMaker* maker) {
    const Offset offset = table_.offset_of(run.first);
    const std::size_t bytes = run.length * chunk_size;
    Backing& backing = table_.backing();
    backing.require_space(offset, bytes);
    if (maker != nullptr && maker->wants_fresh_pages() &&
        backing.backed_bytes(offset / chunk_size, run.length) != 0)
        table_.take_pages_away(run);
    const bool all = maker != nullptr ? maker->make_pages(offset, bytes) : make_huge_pages(run);
    if (all)
        backing.note_backed(offset, bytes);
    else if (maker != nullptr && backing.backed_bytes(offset / chunk_size, run.length) == 0)
        table_.take_pages_away(run);
}

// Of the whole extents in the run; faults make huge pages where fallocate may not. False: `ensure`
// has something left to do, since what was made here is as good for it.
bool Heap::make_huge_pages(Run run) {
    const Offset offset = table_.offset_of(run.first);
    const Offset end = (offset + run.length * chunk_size) / extent_size * extent_size;
    for (Offset at = base::round_up(offset, extent_size); at < end; at += extent_size)
        if (table_.backing().backed_bytes(at / chunk_size, chunks_per_extent) == 0) {
            if (!table_.backing().machine_can_spare(extent_size))
                break; // `ensure` says so
            if (os::populate(segment_.base() + at, extent_size) == 0)
                table_.backing().note_backed(at, extent_size);
        }
    return false;
}

// Only when the heap or the file system has no room: everything that is kept for quick reuse goes
// back.
void Heap::reclaim() {
    table_.dissolve_warm();
    const TagReaders::Scope reading(tag_readers_);
    const PrivateLock::Guard guard(lock_);
    pools_.trim();
    table_.free_empty_orphans();
}

std::size_t Heap::give_back() {
    reclaim();
    return table_.give_back_available();
}

void Heap::throw_exhausted(std::size_t bytes) const {
    const std::size_t left = table_.available() * chunk_size;
    throw SharedMemoryExhausted(bytes, left,
                                "dshm: shared memory exhausted: asked for " + in_kibibytes(bytes) +
                                    " KiB, " + std::to_string(left >> 10) +
                                    " KiB left in a segment of " +
                                    std::to_string(segment_.geometry().capacity >> 20) +
                                    " MiB; free SharedArrays and futures, or raise DSHM_CAPACITY");
}

// ------------------------------------------------------------------------------------------------
// Handing over and freeing
// ------------------------------------------------------------------------------------------------

// Believes nothing of the offset or of the record: a wrong one gives no tag.
Heap::Place Heap::locate(Offset block) const {
    if (!table_.in_heap(block))
        return {};
    const Chunk chunk = table_.chunk_of(block);
    const ChunkState state = table_.state(chunk);
    if (state.has_blocks())
        return locate_small(block, chunk, state);
    const bool run = state.kind() == ChunkKind::head && block == table_.offset_of(chunk) &&
                     state.length() <= table_.top() - chunk;
    return {run ? &table_.run_tag_word(chunk) : nullptr, chunk, state};
}

Heap::Place Heap::locate_small(Offset block, Chunk chunk, ChunkState state) const {
    const SizeClass& shape = size_classes[state.size_class()];
    const auto distance = static_cast<std::uint32_t>(block % chunk_size);
    if (distance < shape.first_block)
        return {};
    const std::uint32_t index = shape.index_at(distance - shape.first_block);
    if (index >= shape.block_count || shape.offset_of(index) != distance)
        return {};
    return {table_.block_tags(chunk) + index, chunk, state};
}

Tag Heap::tag_of(Offset block) const {
    const Place place = locate(block);
    // acquire, edges `block-tagged` and `block-freed`.
    return place.tag == nullptr ? Tag{} : Tag{place.tag->load(std::memory_order_acquire)};
}

std::size_t Heap::room_of(Offset block) const {
    const Place place = locate(block);
    if (place.tag == nullptr || !Tag{place.tag->load(std::memory_order_acquire)}.in_use())
        return 0;
    return place.state.kind() == ChunkKind::head
               ? place.state.length() * chunk_size
               : size_classes[place.state.size_class()].block_size;
}

bool Heap::retag(Offset block, Tag expected, Tag desired) {
    DSHM_CHECK(desired.in_use(), "a block is handed to a process, task or object");
    const Place place = locate(block);
    return place.tag != nullptr && expected.in_use() && change(*place.tag, expected, desired);
}

bool Heap::free(Offset block, Tag expected) {
    const Place place = locate(block);
    if (place.tag == nullptr || !expected.in_use())
        return false;
    if (place.state.kind() == ChunkKind::head)
        return free_run(place, expected);
    if (place.state == ChunkState::small(place.state.size_class(), table_.me()))
        return free_own_small(block, place, expected);
    return change(*place.tag, expected, Tag{});
}

// Under the lock, so that no look through the chunk's tags comes between the tag and the list (P1);
// the chunk could have been given back until the lock was had, but then the block was not the
// caller's to free.
bool Heap::free_own_small(Offset block, const Place& place, Tag expected) {
    const PrivateLock::Guard guard(lock_);
    if (table_.state(place.chunk) != place.state || !change(*place.tag, expected, Tag{}))
        return false;
    pools_.put(place.state.size_class(), block);
    return true;
}

bool Heap::free_run(const Place& place, Tag expected) {
    if (!change(*place.tag, expected, Tag::leaving(table_.me())))
        return false;
    // The run is ours now, so its length stands still.
    const std::uint64_t length = table_.state(place.chunk).length();
    const PrivateLock::Guard guard(lock_);
    runs_.keep({place.chunk, length});
    return true;
}

void Heap::trim() {
    const PrivateLock::Guard guard(lock_);
    runs_.trim();
    pools_.trim();
}

} // namespace dshm::shm
