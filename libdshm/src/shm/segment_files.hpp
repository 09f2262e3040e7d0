// The files of segments in /dev/shm: how they are called, opened, and whose they are. For
// segment.cpp and find_segment.cpp.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "dshm/base/scope_guard.hpp"
#include "dshm/os/mapping.hpp"

namespace dshm::shm {

inline constexpr const char* segment_directory = "/dev/shm";
inline constexpr long launcher_byte = 0; // see segment.hpp
inline constexpr long member_byte = 1;

inline std::string user_prefix() { return "dshm." + std::to_string(getuid()) + "."; }

inline std::string path_of(const std::string& link_name) {
    return std::string(segment_directory) + "/" + link_name;
}

// No link is followed, and a pipe of that name does not hold us.
inline os::Fd open_with_care(const std::string& link_name) {
    return os::Fd(
        open(path_of(link_name).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

// A regular file of this user, closed to others.
inline bool is_ours(int file) {
    struct stat info {};
    return fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == getuid() &&
           (info.st_mode & 077) == 0;
}

inline bool same_file(int file, const std::string& path) {
    struct stat ours {
    }, theirs{};
    return fstat(file, &ours) == 0 && lstat(path.c_str(), &theirs) == 0 &&
           ours.st_dev == theirs.st_dev && ours.st_ino == theirs.st_ino;
}

// f(link name, file) for every name of this user's that can be opened. Not in a process that holds
// process locks on one of them: closing a file drops them.
template <class F>
void for_each_segment_file(F&& f) {
    DIR* entries = opendir(segment_directory);
    if (entries == nullptr)
        return;
    const base::ScopeGuard close_entries([entries] { closedir(entries); });
    const std::string prefix = user_prefix();
    while (const dirent* entry = readdir(entries)) {
        const std::string name = entry->d_name;
        if (name.compare(0, prefix.size(), prefix) != 0)
            continue;
        if (const os::Fd file = open_with_care(name))
            f(name, file.get());
    }
}

} // namespace dshm::shm
