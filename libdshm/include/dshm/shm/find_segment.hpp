// Segments by their names, for programs that are no members yet: opened with care, listed, told from
// dead ones.
//
// Nothing of a file is believed before it is known to be this user's own. Errors say what was found.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "dshm/os/mapping.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::shm {

// Who keeps a segment alive, by the locks on its file.
struct SegmentLocks {
    pid_t launcher = 0;   // 0: nobody; -1: somebody who is not seen from here
    bool members = false; // some process of the session lives
};
SegmentLocks locks_of(int file) noexcept;

// The session's name as users know it, or the whole name of the link ("dshm.1000.name"): gives the
// latter. Throws std::invalid_argument for what cannot be a name.
std::string link_name_of(std::string_view name);

// Opens and maps it after all checks: no link is followed, a regular file of this user that is closed
// to others, complete, of this build's layout, as long as it says. Throws std::runtime_error; when
// there is no such file its text lists the sessions of this user that live.
Segment open_segment(const std::string& link_name);

// A segment of this user's in /dev/shm.
struct SegmentEntry {
    std::string link_name; // "dshm.1000.name"
    std::string name;      // as users know it
    pid_t launcher = 0;    // as in SegmentLocks
    bool members = false;
    bool removable = false; // a regular file that others have no rights to
    std::size_t memory = 0; // bytes that the system has given to it

    bool stale() const { return launcher == 0 && !members; }
};

// None of these three may be called in a process that holds process locks on one of them: closing a
// file drops them.
//
// Ascending by name.
std::vector<SegmentEntry> list_segments();
// Names, as users know them, of those whose launcher lives. Ascending.
std::vector<std::string> live_segments();
// Removes the names of those that no process holds, and gives them. Any number of processes may do so
// at once: each name is removed under a lock on its own file.
std::vector<std::string> remove_stale_segments();

} // namespace dshm::shm
