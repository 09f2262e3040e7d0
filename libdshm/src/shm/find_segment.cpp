#include "dshm/shm/find_segment.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "dshm/os/file_lock.hpp"
#include "segment_files.hpp"

namespace dshm::shm {

namespace {

// Both bytes locked for this process alone: nobody else has them, and no other cleaner is at it. The
// name is looked at again under the lock, since one that was here before may have removed it and a
// new session have taken it; nobody removes this one now but us. False when it is not stale.
bool remove_if_stale(int file, const std::string& path) {
    return is_ours(file) && os::try_lock_bytes_for_open_file(file, launcher_byte, 2) &&
           same_file(file, path) && ::unlink(path.c_str()) == 0;
}

// dshm.<digits>.<something>
bool is_link_name(std::string_view name) {
    constexpr std::string_view start = "dshm.";
    if (name.substr(0, start.size()) != start)
        return false;
    const std::string_view rest = name.substr(start.size());
    const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    return digits > 0 && digits + 1 < rest.size() && rest[digits] == '.';
}

bool exists(const std::string& link_name) {
    struct stat info {};
    return lstat(path_of(link_name).c_str(), &info) == 0;
}

std::string octal(unsigned value) {
    char text[16];
    std::snprintf(text, sizeof text, "%04o", value);
    return text;
}

std::string list_of_sessions() {
    const std::vector<std::string> live = live_segments();
    if (live.empty())
        return "no session of this user runs now";
    std::string text = "sessions of this user are";
    for (const std::string& name : live)
        text += (&name == &live.front() ? " '" : ", '") + name + "'";
    return text;
}

[[noreturn]] void throw_not_opened(int error) {
    if (error == ENOENT)
        throw std::runtime_error("there is no such session; " + list_of_sessions() +
                                 " (a session has the name that DSHM_NAME gives it)");
    if (error == ELOOP)
        throw std::runtime_error("it is a symbolic link, which is not followed");
    throw std::runtime_error("it cannot be opened: " + std::string(std::strerror(error)));
}

void check_file(int file) {
    struct stat info {};
    if (fstat(file, &info) != 0)
        throw std::runtime_error("cannot look at it: " + std::string(std::strerror(errno)));
    if (!S_ISREG(info.st_mode))
        throw std::runtime_error("it is not a regular file");
    if (info.st_uid != getuid())
        throw std::runtime_error("it belongs to user " + std::to_string(info.st_uid) +
                                 ", and this process runs as user " + std::to_string(getuid()));
    if ((info.st_mode & 077) != 0)
        throw std::runtime_error("others have rights to it: its mode is " +
                                 octal(info.st_mode & 0777) + ", expected 0600");
}

} // namespace

SegmentLocks locks_of(int file) noexcept {
    return {os::holder_of_byte(file, launcher_byte), os::holder_of_byte(file, member_byte) != 0};
}

std::string link_name_of(std::string_view name) {
    const std::string given(name);
    if (given.empty() || given.size() > 255 || given.find('/') != std::string::npos ||
        given.find('\0') != std::string::npos)
        throw std::invalid_argument("dshm: attach: '" + given +
                                    "' is not the name of a session (DSHM_NAME)");
    if (is_link_name(given) && !exists(user_prefix() + given))
        return given;
    return user_prefix() + given;
}

Segment open_segment(const std::string& link_name) {
    try {
        os::Fd file = open_with_care(link_name);
        if (!file)
            throw_not_opened(errno);
        check_file(file.get());
        const SegmentLocks locks = locks_of(file.get());
        Segment segment = Segment::adopt(std::move(file));
        if (locks.launcher == 0 && !locks.members)
            throw std::runtime_error("it is stale: no process of its session lives any more; the "
                                     "next session of this user removes it");
        return segment;
    } catch (const std::exception& error) {
        throw std::runtime_error("dshm: attach: " + path_of(link_name) + ": " + error.what());
    }
}

std::vector<SegmentEntry> list_segments() {
    std::vector<SegmentEntry> entries;
    for_each_segment_file([&](const std::string& link_name, int file) {
        struct stat info {};
        fstat(file, &info);
        const SegmentLocks locks = locks_of(file);
        entries.push_back({.link_name = link_name,
                           .name = link_name.substr(user_prefix().size()),
                           .launcher = locks.launcher,
                           .members = locks.members,
                           .removable = is_ours(file),
                           .memory = static_cast<std::size_t>(info.st_blocks) * 512});
    });
    std::sort(entries.begin(), entries.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
    return entries;
}

std::vector<std::string> live_segments() {
    std::vector<std::string> live;
    for (const SegmentEntry& entry : list_segments())
        if (entry.launcher != 0)
            live.push_back(entry.name);
    return live;
}

std::vector<std::string> remove_stale_segments() {
    std::vector<std::string> removed;
    for_each_segment_file([&](const std::string& link_name, int file) {
        if (remove_if_stale(file, path_of(link_name)))
            removed.push_back(link_name);
    });
    return removed;
}

} // namespace dshm::shm
