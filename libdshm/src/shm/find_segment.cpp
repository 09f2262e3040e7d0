#include "dshm/shm/find_segment.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "dshm/base/scope_guard.hpp"
#include "dshm/os/file_lock.hpp"

namespace dshm::shm {

namespace {

constexpr const char* directory = "/dev/shm";
constexpr long launcher_byte = 0; // segment.hpp
constexpr long member_byte = 1;

std::string user_prefix() { return "dshm." + std::to_string(getuid()) + "."; }

std::string path_of(const std::string& link_name) {
    return std::string(directory) + "/" + link_name;
}

// O_NONBLOCK: a pipe of that name must not hold us.
os::Fd open_with_care(const std::string& link_name) {
    return os::Fd(
        open(path_of(link_name).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
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

std::vector<std::string> live_segments() {
    std::vector<std::string> live;
    DIR* entries = opendir(directory);
    if (entries == nullptr)
        return live;
    const base::ScopeGuard close_entries([entries] { closedir(entries); });
    const std::string prefix = user_prefix();
    while (const dirent* entry = readdir(entries)) {
        const std::string name = entry->d_name;
        if (name.compare(0, prefix.size(), prefix) != 0)
            continue;
        const os::Fd file = open_with_care(name);
        if (file && locks_of(file.get()).launcher != 0)
            live.push_back(name.substr(prefix.size()));
    }
    std::sort(live.begin(), live.end());
    return live;
}

} // namespace dshm::shm
