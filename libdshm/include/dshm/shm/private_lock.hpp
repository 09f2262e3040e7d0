// A spinlock between the threads of one process, for private memory only: it never lies in the
// segment.
//
// Costs nothing while the process has one thread, which is how most workers live. Held for well
// under a microsecond, so waiting means spinning, then giving the processor away.
#pragma once

#include <sys/single_threaded.h>

#include <atomic>
#include <thread>

#include "dshm/os/clock.hpp"

namespace dshm::shm {

class PrivateLock {
public:
    class [[nodiscard]] Guard {
    public:
        explicit Guard(PrivateLock& lock) : lock_(__libc_single_threaded ? nullptr : &lock) {
            if (lock_ != nullptr)
                lock_->lock();
        }
        Guard(const Guard&) = delete;
        Guard& operator=(const Guard&) = delete;
        ~Guard() {
            if (lock_ != nullptr)
                lock_->unlock();
        }

    private:
        PrivateLock* lock_;
    };

private:
    static constexpr int spins_before_yield =
        64; // about 1.5 µs: longer than any holder that is running needs

    void lock() noexcept {
        // acquire: what the last holder wrote is seen.
        for (int spins = 0; held_.test_and_set(std::memory_order_acquire); ++spins)
            spins < spins_before_yield ? os::pause() : std::this_thread::yield();
    }
    // release: what this holder wrote is seen by the next.
    void unlock() noexcept { held_.clear(std::memory_order_release); }

    std::atomic_flag held_ = ATOMIC_FLAG_INIT;
};

} // namespace dshm::shm
