#include "dshm/os/file_lock.hpp"

#include <fcntl.h>

#include <cerrno>
#include <system_error>

namespace dshm::os {

namespace {

struct flock byte_range(short type, long first, long count) {
    struct flock range {};
    range.l_type = type;
    range.l_whence = SEEK_SET;
    range.l_start = first;
    range.l_len = count;
    return range;
}

void set_lock(int file, int command, struct flock range) {
    if (fcntl(file, command, &range) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot lock the shared segment");
}

} // namespace

void lock_byte_for_process(int file, long byte) {
    set_lock(file, F_SETLK, byte_range(F_WRLCK, byte, 1));
}

void wait_for_byte_for_process(int file, long byte) {
    const struct flock range = byte_range(F_WRLCK, byte, 1);
    while (fcntl(file, F_SETLKW, &range) != 0)
        if (errno != EINTR)
            throw std::system_error(errno, std::generic_category(),
                                    "dshm: cannot lock the names of the session");
}

void unlock_byte_for_process(int file, long byte) noexcept {
    struct flock range = byte_range(F_UNLCK, byte, 1);
    fcntl(file, F_SETLK, &range);
}

void share_byte_for_open_file(int file, long byte) {
    set_lock(file, F_OFD_SETLK, byte_range(F_RDLCK, byte, 1));
}

int holder_of_byte(int file, long byte) noexcept {
    struct flock range = byte_range(F_WRLCK, byte, 1);
    if (fcntl(file, F_GETLK, &range) != 0 || range.l_type == F_UNLCK)
        return 0;
    return range.l_pid > 0 ? range.l_pid : -1;
}

bool try_lock_bytes_for_open_file(int file, long first, long count) {
    struct flock range = byte_range(F_WRLCK, first, count);
    if (fcntl(file, F_OFD_SETLK, &range) == 0)
        return true;
    if (errno == EAGAIN || errno == EACCES)
        return false;
    throw std::system_error(errno, std::generic_category(), "cannot lock a shared segment");
}

} // namespace dshm::os
