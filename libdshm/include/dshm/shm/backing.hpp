// Which parts of the segment have pages.
//
// A hole of a full tmpfs raises SIGBUS, even on a read. So no byte of the segment is handed out
// before the file system has promised its page: `ensure` asks for the missing 64 KiB chunks and
// reports a full file system as an exception at the call that wanted the memory.
//
// One word for each extent of 2 MiB, a bit for each of its 32 chunks, bit set = backed. Asking
// twice is harmless (fallocate keeps what is there), so two processes may back one chunk at once
// and a process may die between the system call and the bit: the next one asks again. Memory goes
// back to the system only through a chunk's owner, bit first (`give_back`), so a bit that is set
// always means pages.
#pragma once

#include <cstddef>

#include "dshm/shm/layout.hpp"

namespace dshm::shm {

class Backing {
public:
    Backing(std::byte* segment, const Geometry& geometry, int file)
        : words_(reinterpret_cast<Word64*>(segment + geometry.backing)), geometry_(geometry),
          file_(file) {}

    // Backs the chunks that hold [offset, offset + size). Throws SharedMemoryExhausted, having
    // backed a part or nothing; what was backed stays for others.
    void ensure(Offset offset, std::size_t size) {
        const Offset end = offset + size;
        require_space(offset, size);
        for (Offset at = offset / chunk_size; at * chunk_size < end;)
            at = backed(at) ? at + 1 : back_run(at, end, size);
    }

    // Gives the pages of chunks [first, first + count) back; for the one that owns them. Each bit
    // goes before its page: whoever is stopped in between leaves pages that are there and not
    // counted, which the next `ensure` counts again. False when the system refuses; then some pages
    // may be left, and none is counted.
    bool give_back(Offset first, std::size_t count) noexcept;

    // Throws SharedMemoryExhausted when a large request cannot succeed, before it fills the file
    // system, or the machine, up for everybody.
    void require_space(Offset offset, std::size_t size) const {
        if (size > chunks_per_call * chunk_size)
            check_space(offset / chunk_size, offset + size, size);
    }
    // Whether the machine can spare pages for so many bytes; before each few MiB that get them in
    // another way than by `ensure`, which asks as well. It is looked at every 16 MiB that the
    // processes of the session make together, and more often when it has less to spare. 0.2 ms then.
    bool machine_can_spare(std::size_t bytes) const;
    // The chunks of [offset, offset + size) have got their pages in another way.
    void note_backed(Offset offset, std::size_t size) noexcept;

    bool backed(Offset chunk) const {
        // acquire, edge `chunk-backed`: pairs with the release in back_run; what follows may touch
        // the page.
        const std::uint64_t bits =
            words_[chunk / chunks_per_extent].load(std::memory_order_acquire);
        return (bits >> (chunk % chunks_per_extent) & 1) != 0;
    }

    std::size_t backed_bytes() const { return backed_bytes_below(geometry_.capacity); }
    // In the extents that begin below `end`.
    std::size_t backed_bytes_below(Offset end) const;
    std::size_t backed_bytes(Offset first, std::size_t count) const; // of these chunks
    std::size_t space_left() const; // in the file system and the machine
    // Of the first `count` records of a table, those before its first missing page: all of them, unless
    // somebody has damaged the table's top. For walks over what a process may have left that went mad.
    std::uint64_t records_with_pages(Offset table, std::size_t record, std::uint64_t count) const;

private:
    std::byte* base() const noexcept {
        return reinterpret_cast<std::byte*>(words_) - geometry_.backing;
    }

    // 16 MiB: 3 ms in the kernel.
    static constexpr std::size_t chunks_per_call = 8 * chunks_per_extent;

    Header& header() const noexcept { return *reinterpret_cast<Header*>(base()); }
    void set_bits(Offset first, Offset last) noexcept;
    bool has_its_file() const noexcept;
    Offset back_run(Offset first_chunk, Offset end, std::size_t asked);
    void check_space(Offset first_chunk, Offset end, std::size_t asked) const;

    Word64* words_;
    Geometry geometry_;
    int file_;
};

} // namespace dshm::shm
