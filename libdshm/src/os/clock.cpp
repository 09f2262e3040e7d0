#include "dshm/os/clock.hpp"

namespace dshm::os {

namespace {

std::uint64_t measure_ticks_per_microsecond() noexcept {
    using namespace std::chrono_literals;
    const auto start = Clock::now();
    const std::uint64_t first = ticks();
    while (Clock::now() - start < 100us) {
    }
    const std::uint64_t last = ticks();
    const std::chrono::duration<double, std::micro> elapsed = Clock::now() - start;
    const auto rate =
        static_cast<std::uint64_t>(static_cast<double>(last - first) / elapsed.count());
    return rate == 0 ? 1 : rate;
}

} // namespace

std::uint64_t ticks_per_microsecond() noexcept {
    static const std::uint64_t rate = measure_ticks_per_microsecond();
    return rate;
}

} // namespace dshm::os
