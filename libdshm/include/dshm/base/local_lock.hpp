// Locks and counters of one process, nearly free while it has one thread.
//
// Never in shared memory: a process that dies inside takes only its own lock with it.
#pragma once

#include <atomic>
#include <cstdint>

#include <sched.h>
#include <sys/single_threaded.h>

namespace dshm::base {

// A spin lock for sections of a few dozen instructions that call nothing of the user's. While the
// process has never had a second thread it is not taken at all: nobody else can start one inside
// the section.
class LocalLock {
public:
    void lock() noexcept {
        if (__libc_single_threaded)
            return;
        while (taken_.exchange(true, std::memory_order_acquire))
            sched_yield();
    }
    void unlock() noexcept { taken_.store(false, std::memory_order_release); }

private:
    std::atomic<bool> taken_{false};
};

// Adds to a counter of this process and gives the new value: a plain addition while there is one
// thread.
template <class T>
T add_local(T& counter, T amount) noexcept {
    if (__libc_single_threaded)
        return counter += amount;
    return std::atomic_ref<T>(counter).fetch_add(amount, std::memory_order_acq_rel) + amount;
}

} // namespace dshm::base
