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

// Names, as users know them, of this user's segments whose launcher lives. Ascending. Do not call it
// in a process that holds process locks on one of them: closing a file drops them.
std::vector<std::string> live_segments();

} // namespace dshm::shm
