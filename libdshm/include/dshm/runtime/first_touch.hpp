// First touch: the pages of a large new array are made by its participants, each its own part.
//
//     const FirstTouch touch(process, participants, elements, sizeof(T));
//     const ObjectHandle object(...);
//
// The part of participant i of p is that of `localindices`, rounded to pages. Each participant that
// is idle gets a task that makes its part, piece by piece (a piece is claimed by one CAS); what
// nobody has begun is made by the caller meanwhile. Nobody is waited for who has not begun: a busy
// worker finds later that all is over, and so does one whose task is cancelled. When the others
// have not made a piece for 2 ms the caller helps those who have begun, and after 20 ms it makes
// what they are at as well: so much does a worker cost that dies, or is stopped. All that the tasks
// do leaves the contents alone and never raises a signal (os::populate), so one that comes too late
// does no harm either: at worst one piece has pages that the next trim() gives back. They hold the
// list of pieces and not the array. Nothing here waits for room: a participant is asked only when
// it is idle, its inbox is empty (so one that is stopped finds one task, however many arrays were
// made) and there is a record. The machine is looked at before each piece (Backing), by whoever makes
// it: without room all stop, and what was made goes back.
//
// On a machine with several nodes of memory each part is preferred to lie with its participant; that
// is said to the system before there are pages, for all processes. If the caller dies half-way, pages
// are left that are there and not counted, as in backing.hpp. Nothing here throws or fails: what is
// not made in this way, the heap makes. Source: the first-touch rule of OpenMP programs.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/shm/page_maker.hpp"

namespace dshm::runtime {

class FirstTouch final : public shm::PageMaker {
public:
    // Measured on two processors. To make such an array and have it written by its participants
    // takes 0.87 of the time with pages on demand (512 MiB: 0.89), beside two busy programs 0.73 to
    // 0.81; to make it alone 2 times (512 MiB: 1.6), beside those 1.0 to 1.2. Below it is a matter
    // of single milliseconds.
    static constexpr std::size_t least_bytes = base::mebibytes(32);

    // While it lives, for what this thread allocates.
    FirstTouch(Process& process, std::span<const WorkerId> participants, std::size_t elements,
               std::size_t element_bytes);

    bool wants_fresh_pages() const noexcept override;
    bool make_pages(shm::Offset first, std::size_t bytes) noexcept override;

private:
    struct Part {
        Membership::Member member;
        std::size_t first; // bytes of the run
        std::size_t size;
        bool lives;
    };
    class Helpers;

    std::vector<Part> parts_of(std::size_t bytes) const;
    void place(shm::Offset first, const std::vector<Part>& parts) const;
    bool share(shm::Offset first, const std::vector<Part>& parts) const;

    Process& process_;
    std::span<const WorkerId> participants_;
    std::size_t elements_;
    std::size_t element_bytes_;
};

} // namespace dshm::runtime
