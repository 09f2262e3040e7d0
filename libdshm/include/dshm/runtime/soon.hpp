// What is not to be had now may be had in a moment.
//
// A process keeps objects for tasks that have ended until it next looks (holdings.hpp). Before an
// error says that a name is taken or that there is no memory, everybody is asked to look, and given
// a moment to do so. A process that computes does not look; what it keeps stays. For error paths.
#pragma once

#include <chrono>
#include <thread>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

// Whether `done()` holds within 0.1 s.
template <class Done>
bool soon(Process& process, Done&& done) {
    constexpr auto patience = std::chrono::milliseconds(100);
    constexpr auto between = std::chrono::milliseconds(1);
    process.holdings().release_pins();
    for (const auto deadline = os::Clock::now() + patience;; std::this_thread::sleep_for(between)) {
        if (done())
            return true;
        if (os::Clock::now() >= deadline)
            return false;
        process.processes().ring_everybody();
    }
}

// Runs f(), and says whether it did not throw an E.
template <class E, class F>
bool succeeds(F&& f) {
    try {
        f();
        return true;
    } catch (const E&) {
        return false;
    }
}

} // namespace dshm::runtime
