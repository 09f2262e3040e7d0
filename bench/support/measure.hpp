// Taking times and checking answers.
//
// A *turn* is what a comparison calls: it does a piece of work, checks the answer, and gives the
// seconds that one unit of it took. A wrong answer throws `WrongResult`, which fails the program.
#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;
using Turn = std::function<double()>;

/// Some contender computed something else than the rest.
class WrongResult : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void require(bool holds, const std::string& complaint) {
    if (!holds)
        throw WrongResult(complaint);
}

template <class Actual, class Expected>
void require_equal(const Actual& actual, const Expected& expected) {
    if (actual == expected)
        return;
    std::ostringstream complaint;
    complaint << "wrong result: " << actual << " instead of " << expected;
    throw WrongResult(complaint.str());
}

inline double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class Work>
double seconds_of(Work&& work) {
    const auto start = Clock::now();
    work();
    return seconds_since(start);
}

/// A turn that does the work once and compares what it returns.
template <class Work, class Expected>
Turn once(Work work, Expected expected) {
    return [work, expected] {
        const auto start = Clock::now();
        const auto actual = work();
        const double seconds = seconds_since(start);
        require_equal(actual, expected);
        return seconds;
    };
}

/// How many calls a turn measures, and how long it calls before that. The warm-up is given in time because the kernel
/// takes tens of milliseconds to move two processes that talk apart, onto two processors.
struct Batch {
    int calls = 1;
    std::chrono::milliseconds warm_up{0};
};

/// A turn of many calls back to back; seconds of one. `call` checks its own answer.
template <class Call>
Turn back_to_back(Batch batch, Call call) {
    return [batch, call] {
        const auto begin = Clock::now();
        do
            call();
        while (Clock::now() - begin < batch.warm_up);
        const auto start = Clock::now();
        for (int i = 0; i < batch.calls; ++i)
            call();
        return seconds_since(start) / batch.calls;
    };
}

/// A turn of single calls, each after the process has slept for `pause`; gives their median.
template <class Call>
Turn after_idle(std::chrono::microseconds pause, int calls, Call call) {
    return [pause, calls, call] {
        std::vector<double> samples;
        for (int i = 0; i < calls; ++i) {
            std::this_thread::sleep_for(pause);
            samples.push_back(seconds_of(call));
        }
        std::nth_element(samples.begin(), samples.begin() + calls / 2, samples.end());
        return samples[static_cast<std::size_t>(calls) / 2];
    };
}

} // namespace bench
