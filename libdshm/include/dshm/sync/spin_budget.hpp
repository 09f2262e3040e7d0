// How long to spin before sleeping: long when spinning has been worth it lately, short when it has
// not.
//
// A wake through the kernel costs 14 µs and more, a spinning hand-over 0.3 µs (measured on 2
// virtual cores). So waiting 20 µs for something that comes is cheap, and 20 µs spent before every
// long sleep is 20 µs taken from a neighbour. The budget doubles after a wait that ended while
// spinning beyond half of it and halves after one that did not, between the two limits.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dshm/os/clock.hpp"

namespace dshm::waiting {

class SpinBudget {
public:
    static constexpr std::uint64_t least_microseconds = 4;
    static constexpr std::uint64_t most_microseconds = 50;

    // In ticks of os::ticks().
    std::uint64_t ticks() const noexcept { return microseconds_ * os::ticks_per_microsecond(); }

    void spun_in_vain() noexcept {
        microseconds_ = std::max(microseconds_ / 2, least_microseconds);
    }
    void was_worth(std::uint64_t spent_ticks) noexcept {
        if (2 * spent_ticks > ticks())
            microseconds_ = std::min(microseconds_ * 2, most_microseconds);
    }

private:
    std::uint64_t microseconds_ = 20;
};

} // namespace dshm::waiting
