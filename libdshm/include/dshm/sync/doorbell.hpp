// One 32-bit word on which the threads of one process sleep.
//
// Odd: armed, somebody sleeps or is about to. Even: nobody needs a wake. A waiter makes the word
// odd, *looks again* at what it waits for, and sleeps while the word keeps that value. A waker
// publishes its event first; if it then finds the word odd it makes it even and wakes all sleepers,
// else it is done: the common case is one load and no system call.
//
// No wake is lost: in the single order of sequentially consistent operations either the waiter's
// second look comes after the event, or the arming comes before the waker's load (edge `park`).
// Only a ring disarms, and a ring disarms the very value that it wakes, so it cannot swallow the
// wake of a later wait: that one arms a new value.
//
// A waker that dies between the swap and the wake leaves sleepers on an even word. They wake by
// themselves within a second, and at once when the launcher rings every bell after the death
// (`ring_always`).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "dshm/os/futex.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::waiting {

inline constexpr std::chrono::nanoseconds longest_sleep = std::chrono::seconds(1);

// What a doorbell needs besides its word. Tests put a scheduler of their own here.
struct FutexSleep {
    static void fence(std::memory_order order) noexcept { std::atomic_thread_fence(order); }
    static void sleep(std::uint32_t* word, std::uint32_t expected,
                      std::chrono::nanoseconds limit) noexcept {
        os::futex_wait(word, expected, limit);
    }
    static void wake_all(std::uint32_t* word) noexcept { os::futex_wake_all(word); }
};

template <template <class> class Atomic = shm::Word, class Sleep = FutexSleep>
class BasicDoorbell {
public:
    // Sleeps until a ring, for at most `limit`, unless `ready()` holds once the bell is armed. May
    // return early.
    template <class Ready>
    void wait(Ready&& ready, std::chrono::nanoseconds limit = longest_sleep) {
        const std::uint32_t armed = arm();
        // Also when another thread had armed the word: this thread's second look comes after it.
        Sleep::fence(std::memory_order_seq_cst); // edge `park`
        if (!ready())
            Sleep::sleep(seat_.address(), armed, limit);
    }

    // Wakes the sleepers, if any: true when there were some. Call after the event has been published
    // by a seq_cst operation.
    bool ring() {
        std::uint32_t value = seat_.load(std::memory_order_seq_cst); // edge `park`
        while ((value & 1) != 0)
            if (seat_.compare_exchange(value, value + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
                Sleep::wake_all(seat_.address());
                return true;
            }
        return false;
    }

    // Wakes the sleepers even on an even word: for the recoverer, when a waker may have died
    // half-way.
    void ring_always() {
        seat_.fetch_add(2, std::memory_order_acq_rel);
        Sleep::wake_all(seat_.address());
    }

    // Makes the word odd and gives its value.
    std::uint32_t arm() {
        std::uint32_t value = seat_.load(std::memory_order_acquire);
        // seq_cst, edge `park`: ordered before the second look.
        while ((value & 1) == 0)
            if (seat_.compare_exchange(value, value + 1, std::memory_order_seq_cst,
                                       std::memory_order_acquire))
                return value + 1;
        return value;
    }

private:
    Atomic<std::uint32_t> seat_;
};

using Doorbell = BasicDoorbell<>;
static_assert(sizeof(Doorbell) == 4, "a futex word and nothing else");

} // namespace dshm::waiting
