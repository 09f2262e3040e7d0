// Waiting for time: a sleep that lets other tasks run, and a condition looked at now and then.
#pragma once

#include <chrono>
#include <functional>
#include <stdexcept>

#include "dshm/os/clock.hpp"

namespace dshm {

namespace detail {

void sleep_until(os::Clock::time_point deadline);
void check_poll_interval(std::chrono::duration<double> poll);

} // namespace detail

// Waits for `time`; this process runs other tasks meanwhile, and may come back later if one of them
// takes long. Throws InterruptException in a task that is told to stop. Works without a session
// too.
template <class Rep, class Period>
void sleep_for(std::chrono::duration<Rep, Period> time) {
    detail::sleep_until(os::deadline_after(time));
}

// Asks `condition()` at once and then every `poll`, until it holds (true) or `timeout` has passed
// (false). What it throws goes on. Throws std::invalid_argument for a poll interval below 1 ms.
// Source: Julia's timedwait.
template <class Condition, class Rep, class Period, class PollRep = int,
          class PollPeriod = std::milli>
bool timedwait(Condition&& condition, std::chrono::duration<Rep, Period> timeout,
               std::chrono::duration<PollRep, PollPeriod> poll = std::chrono::milliseconds(100)) {
    detail::check_poll_interval(poll);
    const auto deadline = os::deadline_after(timeout);
    while (!std::invoke(condition)) {
        if (os::Clock::now() >= deadline)
            return false;
        detail::sleep_until(std::min(deadline, os::deadline_after(poll)));
    }
    return true;
}

} // namespace dshm
