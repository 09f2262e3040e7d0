// The kill points of the crash build (word.hpp). Empty in ordinary builds.
#ifdef DSHM_CRASH_POINTS

#include "dshm/shm/word.hpp"

#include <signal.h>
#include <unistd.h>

namespace dshm::shm {

namespace {

// Of one process: a child starts with its parent's values and arms itself.
std::atomic<std::uint64_t> touches_seen{0};
std::atomic<std::uint64_t> last_touch{0};
std::atomic<CrashObserver> observing{nullptr};

} // namespace

void crash_point() noexcept {
    if (const CrashObserver observer = observing.load(std::memory_order_relaxed))
        observer(__builtin_return_address(0));
    // relaxed, here and below: a count; nothing is ordered by it.
    const std::uint64_t touch = touches_seen.fetch_add(1, std::memory_order_relaxed) + 1;
    if (touch == last_touch.load(std::memory_order_relaxed))
        kill(getpid(), SIGKILL);
}

void arm_crash_point(std::uint64_t touches) noexcept {
    touches_seen.store(0, std::memory_order_relaxed);
    last_touch.store(touches, std::memory_order_relaxed);
}

void observe_crash_points(CrashObserver observer) noexcept {
    observing.store(observer, std::memory_order_relaxed);
}

std::uint64_t crash_points_seen() noexcept { return touches_seen.load(std::memory_order_relaxed); }

} // namespace dshm::shm

#endif
