#include "dshm/runtime/map_batch.hpp"

#include <algorithm>

namespace dshm::runtime {

namespace {

// A claim and a look at the clock cost 30 ns: 3 % of this.
constexpr std::uint64_t short_block_microseconds = 1;
constexpr std::uint64_t longest_batch_microseconds = 1000;

} // namespace

template <class Change>
std::pair<BatchClaims::State, std::uint32_t> BatchClaims::take(std::uint32_t at_most,
                                                               Change&& change) {
    std::uint64_t word = word_.load(std::memory_order_relaxed);
    for (;;) {
        const State before = state_of(word);
        const std::uint32_t count = std::min(at_most, before.end - before.begun);
        // relaxed: see open().
        if (count == 0 || word_.compare_exchange_weak(word, bits(change(before, count)),
                                                      std::memory_order_relaxed))
            return {before, count};
    }
}

BatchClaims::Block BatchClaims::claim(std::uint32_t at_most) {
    const auto [before, count] = take(at_most, [](State s, std::uint32_t n) {
        return State{s.begun + n, s.end};
    });
    return {before.begun, count};
}

std::uint32_t BatchClaims::take_back(std::uint32_t at_most) {
    return take(at_most, [](State s, std::uint32_t n) { return State{s.begun, s.end - n}; }).second;
}

bool BatchPace::go_on(BatchMode mode) {
    const std::uint64_t now = os::ticks();
    const std::uint64_t block_ticks = now - std::exchange(last_, now);
    const std::uint64_t microsecond = os::ticks_per_microsecond();
    if (block_ticks < short_block_microseconds * microsecond)
        block_ *= 2;
    else if (block_ticks > 2 * short_block_microseconds * microsecond)
        block_ = std::max<std::uint32_t>(block_ / 2, 1);
    return mode == BatchMode::whole || now - start_ < longest_batch_microseconds * microsecond;
}

void throw_batch_interrupted() {
    throw InterruptException("dshm: interrupted between two elements of a map");
}

} // namespace dshm::runtime
