// Time, cheap and dear: the cycle counter for spin budgets, the monotonic clock for deadlines.
#pragma once

#include <chrono>
#include <cstdint>
#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace dshm::os {

using Clock = std::chrono::steady_clock;

// Ticks of the processor's constant-rate counter: 10 ns a reading here, against 25 ns for the
// monotonic clock.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
    return __rdtsc();
#elif defined(__aarch64__)
    std::uint64_t value;
    asm volatile("mrs %0, cntvct_el0" : "=r"(value));
    return value;
#else
    return static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
#endif
}

// Ticks in a microsecond. Measured once in a process against the monotonic clock, over 100 µs.
std::uint64_t ticks_per_microsecond() noexcept;

// The end of a wait of `time`; one that is too long to be counted never ends.
template <class Rep, class Period>
Clock::time_point deadline_after(std::chrono::duration<Rep, Period> time) {
    const auto now = Clock::now();
    const std::chrono::duration<double> most = Clock::time_point::max() - now;
    return std::chrono::duration<double>(time) >= most
               ? Clock::time_point::max()
               : now + std::chrono::ceil<Clock::duration>(time);
}

// Tells the processor that this is a spin loop.
inline void pause() noexcept {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

} // namespace dshm::os
