#include "dshm/shm/chunk_table.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "dshm/os/clock.hpp"

namespace dshm::shm {

namespace {

// A chunk's worth of fresh pages costs 48 µs, a step of a search 2 to 10 ns: this many steps cost
// at most a tenth of what they may save.
constexpr std::uint64_t search_steps_at_least = 512;
constexpr std::uint64_t search_steps_per_chunk = 64;

} // namespace

ChunkTable::ChunkTable(Segment& segment, Owner me)
    : header_(&segment.header()), base_(segment.base()),
      records_(segment.at<ChunkRecord>(segment.geometry().chunks)), geometry_(segment.geometry()),
      me_(me), backing_(segment.backing()) {}

std::optional<ChunkTable::Claim> ChunkTable::find(Wanted wanted) {
    const std::uint64_t steps = search_steps_at_least + search_steps_per_chunk * wanted.length;
    if (auto claim = search(wanted, steps, Pages::any))
        return claim;
    return extend(wanted.length);
}

std::optional<ChunkTable::Claim> ChunkTable::find_anywhere(Wanted wanted, Pages pages) {
    // relaxed: the cursor is a hint of this process.
    cursor_.store(0, std::memory_order_relaxed);
    return search(wanted, ~std::uint64_t{0}, pages);
}

// Next fit from the cursor, at most once around. Runs do not go over the end.
std::optional<ChunkTable::Claim> ChunkTable::search(Wanted wanted, std::uint64_t steps,
                                                    Pages pages) {
    const Chunk end = top();
    if (wanted.length > end)
        return std::nullopt;
    // relaxed: the cursor is a hint of this process.
    const Chunk hint = cursor_.load(std::memory_order_relaxed);
    Chunk at = hint < end ? hint : 0;
    Chunk run = at;
    // Once around, and as far again as a run that lies across the starting point.
    for (std::uint64_t passed = 0; steps != 0 && passed < end + wanted.length; --steps) {
        if (at >= end) {
            at = run = 0;
            continue;
        }
        const ChunkState found = state(at);
        const std::uint64_t span = found.span();
        passed += span;
        if (found.available() && has_pages(at, pages)) {
            if (++at - run < wanted.length)
                continue;
            const std::optional<Chunk> taken = claim_all({run, wanted.length});
            if (!taken) {
                cursor_.store(at, std::memory_order_relaxed);
                return Claim{{run, wanted.length}, Found::claimed};
            }
            run = *taken + 1;
            continue;
        }
        if (wanted.orphan_of_class && found == ChunkState::orphan(*wanted.orphan_of_class)) {
            cursor_.store(at + 1, std::memory_order_relaxed);
            return Claim{{at, 1}, Found::orphan};
        }
        at += span;
        run = at;
    }
    cursor_.store(run, std::memory_order_relaxed);
    return std::nullopt;
}

std::optional<ChunkTable::Claim> ChunkTable::extend(std::uint64_t length) {
    for (;;) {
        const Chunk first = top();
        if (length > capacity() || first > capacity() - length)
            return std::nullopt;
        if (raise_top(first, first + length) && !claim_all({first, length}))
            return Claim{{first, length}, Found::claimed};
    }
}

void ChunkTable::open_all() {
    for (Chunk now = top(); now < capacity(); now = top())
        raise_top(now, capacity());
}

// Keeps T1: pages first, then the top, then (by the caller) the claim.
bool ChunkTable::raise_top(Chunk expected, Chunk top) {
    backing_.ensure(geometry_.chunks + expected * sizeof(ChunkRecord),
                    (top - expected) * sizeof(ChunkRecord));
    // release, edge `heap-grown`; acquire: others' growth below is seen.
    return header_->heap_top.compare_exchange(expected, top, std::memory_order_acq_rel,
                                              std::memory_order_acquire);
}

// All chunks of the run, or none and the index of one that somebody else has.
std::optional<Chunk> ChunkTable::claim_all(Run run) noexcept {
    for (Chunk chunk = run.first; chunk < run.first + run.length; ++chunk)
        if (!claim_chunk(chunk)) {
            release({run.first, chunk - run.first});
            return chunk;
        }
    return std::nullopt;
}

bool ChunkTable::claim_chunk(Chunk chunk) noexcept {
    const ChunkState found = state(chunk);
    const bool clean = found.kind() == ChunkKind::clean;
    // acq_rel, edge `chunk-claimed`: after the former owner's last access.
    return found.available() &&
           change_state(chunk, found,
                        clean ? ChunkState::pristine_part(me_) : ChunkState::part(me_));
}

void ChunkTable::release(Run claimed) noexcept {
    for (Chunk chunk = claimed.first; chunk < claimed.first + claimed.length; ++chunk)
        set_state(chunk, state(chunk).pristine() ? ChunkState::clean() : ChunkState::free());
}

void ChunkTable::dissolve(Run run, Owner name) noexcept {
    for (Chunk chunk = run.first + 1; chunk < run.first + run.length; ++chunk)
        set_state(chunk, ChunkState::part(name));
    // T2 holds: the tails name the dissolver before the head stops covering them. Commit, edge
    // `run-dissolved`.
    set_state(run.first, ChunkState::part(name));
    for (Chunk chunk = run.first; chunk < run.first + run.length; ++chunk)
        set_state(chunk, ChunkState::free());
}

void ChunkTable::dissolve_warm() noexcept {
    const Chunk end = top();
    for (Chunk chunk = 0; chunk < end;) {
        const ChunkState found = state(chunk);
        const Tag tag = found.kind() == ChunkKind::head ? run_tag(chunk) : Tag{};
        // T4: whoever leaves WARM has the run, and its length is the one in the tag.
        if (tag.kind() == TagKind::warm && tag.chunks() <= end - chunk &&
            change_run_tag(chunk, tag, Tag::leaving(me_)))
            dissolve({chunk, tag.chunks()}, me_);
        chunk += found.span();
    }
}

void ChunkTable::free_empty_orphans() noexcept {
    const Chunk end = top();
    for (Chunk chunk = 0; chunk < end; ++chunk) {
        const ChunkState found = state(chunk);
        if (found.kind() != ChunkKind::orphan || !has_blocks(chunk, found))
            continue;
        // Adopted first: nobody else may hand its blocks out while its tags are read.
        const unsigned size_class = found.size_class();
        if (all_blocks_free(chunk, size_class) &&
            change_state(chunk, found, ChunkState::small(size_class, me_)))
            set_state(chunk, all_blocks_free(chunk, size_class) ? ChunkState::free() : found);
    }
}

// From `first` on, what is available, to the end of an extent of the file at most.
Run ChunkTable::claim_available(Chunk first, Chunk end) noexcept {
    const Chunk in_file = offset_of(first) / chunk_size;
    const Chunk last = std::min(end, first + chunks_per_extent - in_file % chunks_per_extent);
    Chunk chunk = first;
    while (chunk < last && claim_chunk(chunk))
        ++chunk;
    return {first, chunk - first};
}

// T5. Readers take milliseconds at most, but one may be stopped: then the chunks keep their pages.
bool ChunkTable::wait_for_tag_readers() const noexcept {
    constexpr auto patience = std::chrono::milliseconds(200);
    // seq_cst, edge `tags-read`: pairs with the fence of a reader who enters.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (header_->tag_readers.empty(std::memory_order_acquire))
        return true;
    for (const auto deadline = os::Clock::now() + patience; os::Clock::now() < deadline;) {
        std::this_thread::yield();
        if (header_->tag_readers.empty(std::memory_order_acquire))
            return true;
    }
    return false;
}

std::size_t ChunkTable::give_back_available() noexcept {
    const Chunk end = top();
    std::size_t counted = 0;
    for (Chunk chunk = 0; chunk < end;) {
        const Run run = claim_available(chunk, end);
        if (run.length == 0) {
            chunk += state(chunk).span();
            continue;
        }
        const std::size_t had =
            backing_.backed_bytes(offset_of(run.first) / chunk_size, run.length);
        const bool gone = take_pages_away(run);
        release(run);
        if (!gone)
            break;
        counted += had;
        chunk += run.length;
    }
    return counted;
}

// T3 holds: a hole reads as zeros.
bool ChunkTable::take_pages_away(Run claimed) noexcept {
    if (!wait_for_tag_readers() ||
        !backing_.give_back(offset_of(claimed.first) / chunk_size, claimed.length))
        return false;
    for (Chunk chunk = claimed.first; chunk < claimed.first + claimed.length; ++chunk)
        set_state(chunk, ChunkState::pristine_part(me_));
    return true;
}

std::uint64_t ChunkTable::available(Pages pages) const noexcept {
    const Chunk end = top();
    std::uint64_t count = pages == Pages::any ? capacity() - std::min(end, capacity()) : 0;
    for (Chunk chunk = 0; chunk < end;) {
        const ChunkState found = state(chunk);
        count += found.available() && has_pages(chunk, pages) ? 1 : 0;
        chunk += found.span();
    }
    return count;
}

bool ChunkTable::all_blocks_free(Chunk chunk, unsigned size_class) const noexcept {
    const Word64* tags = block_tags(chunk);
    return std::all_of(tags, tags + size_classes[size_class].block_count, [](const Word64& tag) {
        // acquire, edge `block-freed`: the last user's accesses are over.
        return tag.load(std::memory_order_acquire) == Tag{}.bits;
    });
}

} // namespace dshm::shm
