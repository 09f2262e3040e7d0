// The chunk table: one record for each 64 KiB chunk of the heap, and the claiming, joining and
// parting of chunks.
//
//   0        8        16
//   | state  | tag    |      the tag counts only while the state is HEAD
//
//   state    63                      32 31      8 7     0
//            | length, class or pristine | owner   | kind |
//
//   CLEAN (0)           never used since its pages were made, or has none yet: reads as zeros
//   FREE                anybody may claim it; its bytes are whatever was there
//   SMALL(class, owner) blocks of one class; only the owner hands free ones out
//   PART(owner)         claimed and not yet committed, or inside a run
//   HEAD(length)        first chunk of a run; the run belongs to whom its tag says
//   ORPHAN(class)       as SMALL, its owner is dead; anybody may adopt it
//
// What may follow what (→ by CAS where several may try, = by a store of the one that may):
//
//   claim     CLEAN or FREE → PART(me), chunk by chunk; PART remembers "pristine", that it came
//             from CLEAN
//   give up   PART(me) = CLEAN when pristine, else FREE
//   give back claimed as above, then the backing bits cleared, then the hole punched, then
//             PART(me) = pristine PART(me), then given up
//   small     PART(me) = SMALL(class, me), after its tags were zeroed; SMALL(me) = FREE when all
//             its tags are FREE
//   adopt     ORPHAN(class) → SMALL(class, me)
//   run       tag of the first chunk set, then first chunk PART(me) = HEAD(length): the commit
//   dissolve  with tag LEAVING(me): tails = PART(me), then HEAD = PART(me): the commit; then each
//             PART(me) = FREE
//
// Invariants:
//   (T1) A chunk that is not CLEAN has an index below heap_top, and the table's pages below
//        heap_top are backed. Kept by raising heap_top before the first claim beyond it, and
//        backing the pages before raising it.
//   (T2) The tails of a HEAD are PART, of anybody, even of one long dead, and nobody but whoever
//        holds the run's tag touches them. Kept because the commit comes last and a dissolver
//        rewrites the tails before the head.
//   (T3) PART(p) outside a HEAD's length is p's own unfinished claim or dissolution. A pristine one
//        was never written to but with zeros, because a run's owner writes only after the commit
//        and a dissolver clears the mark.
//   (T4) A tag WARM(·, n) means state HEAD(n): WARM is set on committed runs only and is left only
//        through LEAVING or a new owner's tag. So whoever turns a WARM into something else by CAS
//        has the run, however stale his hint.
//
//   (T5) A chunk that is not claimed by the reader may lose its pages after its state was read. So
//        whoever claims asks for the pages after the claim (`Backing::ensure`), and whoever reads the
//        tags of chunks that are not his own, or blocks that nobody holds for him (recovery, pins, a
//        look at all arrays), is entered in the header's `tag_readers` from before he reads their
//        states, or the tag or record that says that the block is in use. A hole is punched only after
//        the chunk was claimed and `tag_readers` was found empty: a reader who was entered later sees
//        the claim, and with it that the block was freed (edge `tags-read`), and reads nothing there.
//
// Death of p, at any step, and the launcher's walk over [0, heap_top) in the order of addresses
// (`Heap::recover`):
//   - while claiming: PART(p) outside any HEAD; the walk sets them CLEAN or FREE. By T3 CLEAN is
//     true.
//   - while giving back: the same states. FREE is true whatever has become of the pages, and CLEAN
//     as well, since a pristine chunk reads as zeros with its pages and without them. Bits that are
//     cleared are never wrong: the next claim asks for the pages again. p's system call is over when
//     its death is known.
//   - after the tag, before the commit: as above; a tag without a HEAD means nothing.
//   - after the commit: HEAD with a tag that names p (dissolved in p's name) or that belongs to a
//     task or object (freed with it). The tails are not looked at: the walk goes on behind the run.
//   - while dissolving: tag LEAVING(p) and still HEAD: dissolved again from the start. HEAD gone:
//     by then every tail is PART(p), the walk frees those that p has not, and those that others
//     have claimed since name others.
//   - the walk skips a run on the strength of HEAD(n) read at one moment. Nothing of p's lies in
//     the skipped chunks then (T2), and p adds nothing any more. A neighbour that dissolves the run
//     meanwhile, or claims its chunks, leaves only its own name there. If the walk instead reads
//     the head after a dissolver's commit, it also sees the tails that were rewritten before (edges
//     `run-dissolved`, `chunk-claimed`), so it cannot take an old tail PART(p) for p's own.
//   - the launcher does all this in p's name (dissolves with PART(p) and LEAVING(p)), so a walk
//     that stopped anywhere leaves states that the next one handles like p's own.
//
// Speed is private: where to look next is a cursor of this process. Searches are bounded; only an
// exhausted heap is looked through from end to end. Any thread may call anything here.
#pragma once

#include <algorithm>
#include <atomic>
#include <optional>

#include "dshm/shm/backing.hpp"
#include "dshm/shm/heap_classes.hpp"
#include "dshm/shm/layout.hpp"
#include "dshm/shm/segment.hpp"
#include "dshm/shm/tag.hpp"

namespace dshm::shm {

enum class ChunkKind : std::uint8_t {
    clean = 0,
    free = 1,
    small = 2,
    part = 3,
    head = 4,
    orphan = 5
};

struct ChunkState {
    std::uint64_t bits = 0;

    static constexpr ChunkState clean() { return {}; }
    static constexpr ChunkState free() { return make(ChunkKind::free, 0, {}); }
    static constexpr ChunkState small(unsigned size_class, Owner owner) {
        return make(ChunkKind::small, size_class, owner);
    }
    static constexpr ChunkState part(Owner owner) { return make(ChunkKind::part, 0, owner); }
    static constexpr ChunkState pristine_part(Owner owner) {
        return make(ChunkKind::part, 1, owner);
    }
    static constexpr ChunkState head(std::uint64_t length) {
        return make(ChunkKind::head, length, {});
    }
    static constexpr ChunkState orphan(unsigned size_class) {
        return make(ChunkKind::orphan, size_class, {});
    }

    constexpr ChunkKind kind() const { return static_cast<ChunkKind>(KindField::get(bits)); }
    constexpr Owner owner() const { return Owner::from_bits(OwnerField::get(bits)); }
    constexpr std::uint64_t length() const { return DetailField::get(bits); }
    constexpr unsigned size_class() const { return static_cast<unsigned>(DetailField::get(bits)); }
    constexpr bool pristine() const { return DetailField::get(bits) != 0; }

    constexpr bool available() const {
        return kind() == ChunkKind::clean || kind() == ChunkKind::free;
    }
    // Holds small blocks of a class that exists: what another process wrote is believed only this
    // far.
    constexpr bool has_blocks() const {
        return (kind() == ChunkKind::small || kind() == ChunkKind::orphan) &&
               size_class() < size_class_count;
    }
    // Chunks to step over when the record at hand has this state.
    constexpr std::uint64_t span() const {
        return kind() == ChunkKind::head && length() != 0 ? length() : 1;
    }
    friend constexpr bool operator==(const ChunkState&, const ChunkState&) = default;

private:
    using KindField = base::Field<0, 8>;
    using OwnerField = base::Field<8, 24>;
    using DetailField = base::Field<32, 32>;

    static constexpr ChunkState make(ChunkKind kind, std::uint64_t detail, Owner owner) {
        return {KindField::put(static_cast<std::uint64_t>(kind)) | OwnerField::put(owner.bits()) |
                DetailField::put(detail)};
    }
};

struct ChunkRecord {
    Word64 state;
    Word64 tag;
};

static_assert(sizeof(ChunkRecord) == chunk_record_size, "Geometry::of sizes the table by it");
static_assert(ChunkState{}.kind() == ChunkKind::clean, "a fresh table says that all is clean");

using Chunk = std::uint64_t; // index of a chunk of the heap, from 0

struct Run {
    Chunk first = 0;
    std::uint64_t length = 0;
};

class ChunkTable {
public:
    // What a search looks for: a run of `length` chunks, or, for one chunk of small blocks, also an
    // orphan of its class.
    struct Wanted {
        std::uint64_t length = 1;
        std::optional<unsigned> orphan_of_class{};
    };
    enum class Found : std::uint8_t { claimed, orphan };
    // claimed: all chunks are PART(me). orphan: one chunk, which the caller may adopt if nobody
    // else is faster.
    struct Claim {
        Run run;
        Found found = Found::claimed;
    };
    enum class Pages : std::uint8_t { any, backed_only };

    ChunkTable(Segment& segment, Owner me);

    Owner me() const noexcept { return me_; }
    Chunk capacity() const noexcept { return geometry_.heap_chunks; }
    Backing& backing() noexcept { return backing_; }
    const Backing& backing() const noexcept { return backing_; }

    // Chunks that may be in use: [0, top). Never more than there are.
    Chunk top() const noexcept {
        // acquire, edge `heap-grown`: the table's pages below the value are backed.
        return std::min<Chunk>(header_->heap_top.load(std::memory_order_acquire), capacity());
    }
    // The same for walks of recovery, which believe of the top only what has pages.
    Chunk end_of_walk() const noexcept {
        return backing_.records_with_pages(geometry_.chunks, sizeof(ChunkRecord), top());
    }
    // A chunk that holds small blocks, and has the pages to hold them in.
    bool has_blocks(Chunk chunk, ChunkState state) const noexcept {
        return state.has_blocks() && backing_.backed(offset_of(chunk) / chunk_size);
    }
    ChunkState state(Chunk chunk) const noexcept {
        // acquire, edges `chunk-claimed`, `run-committed`, `run-dissolved`: what led to the state
        // is seen.
        return {records_[chunk].state.load(std::memory_order_acquire)};
    }
    // For the one process that may: see "=" above.
    void set_state(Chunk chunk, ChunkState state) noexcept {
        // release, the same edges.
        records_[chunk].state.store(state.bits, std::memory_order_release);
    }
    bool change_state(Chunk chunk, ChunkState expected, ChunkState desired) noexcept {
        return records_[chunk].state.compare_exchange(
            expected.bits, desired.bits, std::memory_order_acq_rel, std::memory_order_acquire);
    }
    Tag run_tag(Chunk chunk) const noexcept {
        // acquire, edge `block-freed`: the last user's accesses are over.
        return {records_[chunk].tag.load(std::memory_order_acquire)};
    }
    void set_run_tag(Chunk chunk, Tag tag) noexcept {
        // release, edge `block-freed`.
        records_[chunk].tag.store(tag.bits, std::memory_order_release);
    }
    bool change_run_tag(Chunk chunk, Tag expected, Tag desired) noexcept {
        return records_[chunk].tag.compare_exchange(
            expected.bits, desired.bits, std::memory_order_acq_rel, std::memory_order_acquire);
    }
    Word64& run_tag_word(Chunk chunk) const noexcept { return records_[chunk].tag; }

    Offset offset_of(Chunk chunk) const noexcept { return geometry_.heap + chunk * chunk_size; }
    // Meaningful for offsets that lie in the heap.
    Chunk chunk_of(Offset offset) const noexcept { return (offset - geometry_.heap) / chunk_size; }
    bool in_heap(Offset offset) const noexcept {
        return offset >= geometry_.heap && chunk_of(offset) < top();
    }
    std::byte* address_of(Chunk chunk) const noexcept { return base_ + offset_of(chunk); }
    // The tags of a chunk of small blocks.
    Word64* block_tags(Chunk chunk) const noexcept {
        return reinterpret_cast<Word64*>(address_of(chunk));
    }

    // A bounded look for memory that was used before, then chunks beyond the top.
    std::optional<Claim> find(Wanted wanted);
    // Looks through the whole heap.
    std::optional<Claim> find_anywhere(Wanted wanted, Pages pages);
    // Raises the top to the end of the heap, so that a following find_anywhere sees all there is.
    void open_all();

    // Gives an uncommitted claim up.
    void release(Run claimed) noexcept;
    // Takes a run apart whose tag is LEAVING(name). `name` is me, or a dead process in whose name
    // the launcher goes on.
    void dissolve(Run run, Owner name) noexcept;
    // Takes the WARM runs of all processes apart. Walks the whole table.
    void dissolve_warm() noexcept;
    // By a tag reader. Frees the orphans that hold nothing. Walks the whole table. No other thread of this process
    // may free blocks meanwhile, since it would take a chunk that is looked at for one of its own
    // pools'.
    void free_empty_orphans() noexcept;
    // Takes the pages of a claimed run away; its chunks are pristine then. False, and pages as they
    // were or fewer, when that is not possible now.
    bool take_pages_away(Run claimed) noexcept;
    // Gives the pages of all chunks that anybody could claim back to the system, 2 MiB at a time,
    // and leaves them CLEAN. Nobody can have those of one step meanwhile. Bytes that were counted as
    // backed. Walks the whole table.
    std::size_t give_back_available() noexcept;
    // Chunks that could be claimed now, or those of them that have pages. Walks the whole table.
    std::uint64_t available(Pages pages) const noexcept;
    std::uint64_t available() const noexcept { return available(Pages::any); }

    // True when no block of a chunk of small blocks is in use.
    bool all_blocks_free(Chunk chunk, unsigned size_class) const noexcept;

private:
    Run claim_available(Chunk first, Chunk end) noexcept;
    bool wait_for_tag_readers() const noexcept;
    std::optional<Claim> search(Wanted wanted, std::uint64_t steps, Pages pages);
    std::optional<Claim> extend(std::uint64_t length);
    std::optional<Chunk> claim_all(Run run) noexcept;
    bool claim_chunk(Chunk chunk) noexcept;
    bool has_pages(Chunk chunk, Pages pages) const noexcept {
        return pages == Pages::any || backing_.backed(offset_of(chunk) / chunk_size);
    }
    bool raise_top(Chunk expected, Chunk top);

    Header* header_;
    std::byte* base_;
    ChunkRecord* records_;
    Geometry geometry_;
    Owner me_;
    Backing backing_;
    std::atomic<Chunk> cursor_{0}; // a hint
};

} // namespace dshm::shm
