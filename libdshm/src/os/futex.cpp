#include "dshm/os/futex.hpp"

#include <cerrno>
#include <climits>
#include <ctime>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace dshm::os {

FutexResult futex_wait(std::uint32_t* word, std::uint32_t expected,
                       std::chrono::nanoseconds timeout) noexcept {
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
    timespec limit{};
    limit.tv_sec = seconds.count();
    limit.tv_nsec = (timeout - seconds).count();
    if (syscall(SYS_futex, word, FUTEX_WAIT, expected, &limit, nullptr, 0) == 0)
        return FutexResult::woken;
    switch (errno) {
    case EAGAIN:
        return FutexResult::changed;
    case ETIMEDOUT:
        return FutexResult::timed_out;
    default:
        return FutexResult::interrupted;
    }
}

void futex_wake_all(std::uint32_t* word) noexcept {
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

} // namespace dshm::os
