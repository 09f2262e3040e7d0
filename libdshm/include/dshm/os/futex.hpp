// Futexes that work between processes: never the private kind, which never wakes another process.
#pragma once

#include <chrono>
#include <cstdint>

namespace dshm::os {

enum class FutexResult { woken, changed, timed_out, interrupted };

// Sleeps while *word == expected, at most `timeout`. May return for no reason (woken): callers look
// again.
FutexResult futex_wait(std::uint32_t* word, std::uint32_t expected,
                       std::chrono::nanoseconds timeout) noexcept;

// Wakes every sleeper on the word.
void futex_wake_all(std::uint32_t* word) noexcept;

} // namespace dshm::os
