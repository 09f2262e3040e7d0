// The segment: one shared-memory object, created nameless, linked under its name when it is
// complete.
//
// The file is made with O_TMPFILE, sized, initialised and locked before linkat gives it the name
// dshm.<uid>.<name>: nobody ever sees half a segment, nobody can have squatted the name, and a
// crash before the link leaves nothing. Byte 0 carries the launcher's process lock, byte 1 an
// open-file read lock that every member inherits; a name with neither is stale and may be removed
// by its user. Where /dev/shm is missing or too small the segment is a memfd, which has no name at
// all.
#pragma once

#include <string>
#include <string_view>

#include "dshm/os/mapping.hpp"
#include "dshm/shm/backing.hpp"
#include "dshm/shm/layout.hpp"

namespace dshm::shm {

struct SegmentOptions {
    std::string name; // part behind "dshm.<uid>."; letters, digits, '_', '-' and '.', at most 63
    std::size_t capacity = 0; // bytes; 0 is the machine's memory
    std::uint64_t seed = 0;
    std::string build_id = {}; // of the program that makes it, bytes; at most 20 are kept
    bool huge_pages = false;   // for large runs; a line on standard error says why not
};

enum class SegmentKind { named, anonymous };

class Segment {
public:
    // Throws std::invalid_argument for a bad name or capacity, std::system_error when the system
    // refuses, std::runtime_error when the name belongs to a live session.
    static Segment create(const SegmentOptions& options);

    // Maps a segment whose file a relative has handed over (an exec'ed worker). Before mapping it
    // checks whose it is, that it was completed, that it was made by a build with the same layout,
    // and that the file is as long as its header says: std::runtime_error, with both values, if not.
    static Segment adopt(os::Fd file);

    std::byte* base() const noexcept { return mapping_.data(); }
    Header& header() const noexcept { return *reinterpret_cast<Header*>(base()); }
    const Geometry& geometry() const noexcept { return geometry_; }
    int file() const noexcept { return file_.get(); }
    SegmentKind kind() const noexcept { return kind_; }
    // "dshm.1000.name", or "" for an anonymous one.
    const std::string& link_name() const noexcept { return link_name_; }

    template <class T>
    T* at(Offset offset) const noexcept {
        return reinterpret_cast<T*>(base() + offset);
    }
    Offset offset_of(const void* address) const noexcept {
        return static_cast<Offset>(static_cast<const std::byte*>(address) - base());
    }
    bool contains(Offset offset, std::size_t size) const noexcept {
        return offset <= geometry_.capacity && size <= geometry_.capacity - offset;
    }

    // Inside the segment and backed: may be read even if the offset came from a damaged record.
    bool readable(Offset offset, std::size_t size) const noexcept {
        if (!contains(offset, size))
            return false;
        const Backing pages = backing();
        for (Offset chunk = offset / chunk_size; chunk * chunk_size < offset + size; ++chunk)
            if (!pages.backed(chunk))
                return false;
        return true;
    }

    // By its maker, before there are other processes: large runs become huge pages from now on, in
    // all processes. Gives nothing, or why that is not so and what helps.
    std::string ask_for_huge_pages();

    // In a process that has no part in it any more, and must not keep its memory.
    void close_file() noexcept { file_.reset(); }

    Backing backing() const { return {base(), geometry_, file_.get()}; }
    os::Mapping& mapping() noexcept { return mapping_; }

    // Removes the name, if it is still this segment's. Idempotent.
    void unlink() const noexcept;

private:
    Segment(os::Fd file, SegmentKind kind, const Geometry& geometry, std::uintptr_t address);

    os::Fd file_;
    os::Mapping mapping_;
    Geometry geometry_;
    SegmentKind kind_;
    std::string link_name_;
};

} // namespace dshm::shm
