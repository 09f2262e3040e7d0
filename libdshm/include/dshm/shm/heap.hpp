// The shared heap: blocks of 64 bytes to the whole segment that any process may allocate, hand over
// and free.
//
// Every block has a tag, one word that says whose it is (tag.hpp). A process allocates a block
// under a tag, hands it over by changing the tag, and whoever holds it by that tag frees it, in any
// process: each of these is one CAS, so a block that is freed twice, or late, is found out and
// nothing is harmed. Handing over means: new tag first, then the commit word of whatever it belongs
// to.
//
// Blocks of up to 32 KiB lie in 64 KiB chunks of one size each (heap_classes.hpp, block_pools.hpp),
// larger ones are runs of whole chunks (chunk_table.hpp has their states and the proof,
// run_cache.hpp keeps them warm). No page is handed out that the file system has not promised.
//
// If a process dies at any instruction, its OWN blocks and half-made claims are what `recover`
// frees, and its chunks with blocks of others in them become orphans that the next allocation of
// that size adopts. Blocks that it had tagged for a task whose commit never came are what
// `sweep_handed_over` frees. Nothing in shared memory is ever locked.
//
// Late frees, precisely: a tag is compared in the place where the block was. Should the chunk have
// been given back and now hold a large run, that place is a user's memory; a number there is taken
// for the tag only if it is that tag bit for bit, mark, kind, index and generation, within the
// nanoseconds between looking at the chunk's state and the CAS. Should it have lost its pages within
// those (chunk_table.hpp, T5), the look makes an empty one, where the file system has one left.
//
// Cost here: allocate and free of a small block 27 ns together, of a warm MiB 47 ns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>

#include "dshm/shm/block_pools.hpp"
#include "dshm/shm/chunk_table.hpp"
#include "dshm/shm/exhausted.hpp"
#include "dshm/shm/page_maker.hpp"
#include "dshm/shm/private_lock.hpp"
#include "dshm/shm/run_cache.hpp"
#include "dshm/shm/segment.hpp"
#include "dshm/shm/tag.hpp"
#include "dshm/shm/tag_readers.hpp"

namespace dshm::shm {

struct Block {
    Offset offset;
    std::size_t size; // usable bytes, at least those asked for
};

// A count of the heap, in bytes unless it says otherwise. While others allocate it is not one
// moment's truth.
struct HeapStatistics {
    std::size_t capacity;        // of the heap
    std::size_t opened;          // chunks below the top: the sum of the eight lines below
    std::size_t used_small;      // blocks in use, whole blocks counted
    std::size_t used_large;      // runs in use
    std::size_t free_small;      // free blocks in chunks of small blocks
    std::size_t small_overhead;  // tags and rests in chunks of small blocks
    std::size_t warm;            // runs kept warm
    std::size_t free_chunks;     // used before, free for anything
    std::size_t clean_chunks;    // never used
    std::size_t unfinished;      // claims under way
    std::size_t blocks_in_use;   // number
    std::size_t orphaned_chunks; // number
    std::size_t backed;          // of the whole segment: memory that the file system has given

    std::size_t accounted() const {
        return used_small + used_large + free_small + small_overhead + warm + free_chunks +
               clean_chunks + unfinished;
    }
};

// One for each process, for all its threads.
class Heap {
public:
    Heap(Segment& segment, Owner me);
    Heap(const Heap&) = delete;
    Heap& operator=(const Heap&) = delete;

    // At least `bytes` bytes, aligned to 64 (from 32 KiB on to 64 KiB), with `tag` set. Throws
    // SharedMemoryExhausted when the heap or the file system has no room; then nothing has been
    // taken.
    Block allocate(std::size_t bytes, Tag tag);
    // The same, filled with zeros. Fresh memory is not written to.
    Block allocate_zeroed(std::size_t bytes, Tag tag);

    // Hands a block over. False when it was not tagged so; then nothing has changed.
    bool retag(Offset block, Tag expected, Tag desired);
    // Frees a block that is tagged so, by any process. False when it was not: freed before, handed
    // over, or no block.
    bool free(Offset block, Tag expected);
    // FREE for what is not a block. Of a block that may be freed meanwhile, or was, under reading().
    Tag tag_of(Offset block) const;
    // Bytes from a block's beginning to its end; 0 for what is no block in use. For those who read in
    // shared memory how much lies there, and must not believe it.
    std::size_t room_of(Offset block) const;
    // Until it ends, blocks that are found in use keep their pages (tag_readers.hpp), so one that nobody
    // holds for the caller can be read. For a few milliseconds, and never while it waits for others.
    TagReaders::Scope reading() const { return TagReaders::Scope(tag_readers_); }

    // Launcher only, after the kernel has reported the death of `dead` and before its slot is used
    // again. Frees what was its own. May be stopped anywhere and started again.
    void recover(Owner dead);
    // Launcher only, as part of the same recovery: `free` in the name of `dead`, so that
    // recover(dead) completes it should it be stopped half-way. Keeps nothing warm.
    bool free_in_name_of(Owner dead, Offset block, Tag expected);
    // Launcher only: frees every block tagged ARG, RES or OBJ for which wanted(Tag) is false. A
    // block is asked about from the moment that its tag is set, which is before its task or object
    // is committed. Returns the number freed.
    template <class Wanted>
    std::size_t sweep_handed_over(Wanted&& wanted) {
        const auto ask = [](void* predicate, Tag tag) -> bool {
            return (*static_cast<std::remove_reference_t<Wanted>*>(predicate))(tag);
        };
        return sweep(ask, const_cast<void*>(static_cast<const void*>(&wanted)));
    }

    HeapStatistics statistics() const;
    // Frees what this process keeps for quick reuse: warm runs, chunks of small blocks that hold
    // nothing.
    void trim();
    // Gives memory back to the system: the warm runs of all processes, this one's chunks of small
    // blocks that hold nothing, those of dead ones, and the pages of all that is free then. Gives
    // the bytes. What others allocate meanwhile stays theirs; a death at any step loses nothing.
    std::size_t give_back();

private:
    enum class Fill : std::uint8_t { none, zeros };
    // Where a block's tag is. No tag: the offset is not a block's.
    struct Place {
        Word64* tag = nullptr;
        Chunk chunk = 0;
        ChunkState state;
    };

    Offset allocate_small(unsigned size_class, Tag tag);
    Run allocate_run(std::size_t bytes, Tag tag, Fill fill);
    std::optional<Run> take_warm(std::uint64_t length, Tag tag);
    void fill_with_zeros(Run run);
    Block block_of(Run run) const { return {table_.offset_of(run.first), run.length * chunk_size}; }
    ChunkTable::Claim claim(ChunkTable::Wanted wanted, std::size_t bytes);
    ChunkTable::Claim claim_any(ChunkTable::Wanted wanted, std::size_t bytes);
    ChunkTable::Claim back(const ChunkTable::Claim& claim);
    void make_pages(Run run, PageMaker* maker);
    bool make_huge_pages(Run run);
    bool pages_can_be_had(std::size_t bytes) const;
    void reclaim();
    [[noreturn]] void throw_exhausted(std::size_t bytes) const;

    Place locate(Offset block) const;
    Place locate_small(Offset block, Chunk chunk, ChunkState state) const;
    bool free_own_small(Offset block, const Place& place, Tag expected);
    bool free_run(const Place& place, Tag expected);
    bool dissolve_run(const Place& place, Tag expected, Owner name);

    void recover_small(Chunk chunk, ChunkState state, Owner dead);
    void free_empty_orphan(Chunk chunk, ChunkState state);
    void recover_run(Chunk chunk, ChunkState state, Owner dead);
    std::size_t sweep(bool (*wanted)(void*, Tag), void* predicate);
    std::size_t sweep_small(Chunk chunk, ChunkState state, bool (*wanted)(void*, Tag),
                            void* predicate);
    bool sweep_run(Chunk chunk, bool (*wanted)(void*, Tag), void* predicate);

    static bool change(Word64& tag, Tag expected, Tag desired) noexcept {
        // acq_rel, edge `block-freed`: release, this process's accesses come before; acquire, and
        // its own later ones after.
        return tag.compare_exchange(expected.bits, desired.bits, std::memory_order_acq_rel,
                                    std::memory_order_relaxed);
    }

    Segment& segment_;
    ChunkTable table_;
    mutable TagReaders tag_readers_;
    PrivateLock lock_; // over the two below
    BlockPools pools_;
    RunCache runs_;
    bool huge_pages_;
};

} // namespace dshm::shm
