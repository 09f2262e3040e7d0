#include "dshm/retry.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <stdexcept>

namespace dshm {

std::vector<std::chrono::duration<double>> ExponentialBackOff::delays() const {
    for (const double value : {first_delay, max_delay, factor, jitter})
        if (!(value >= 0) || !std::isfinite(value))
            throw std::invalid_argument("dshm: ExponentialBackOff: delays, factor and jitter must "
                                        "be finite and not negative");
    static thread_local std::minstd_rand random{std::random_device{}()};
    std::vector<std::chrono::duration<double>> result;
    double next = std::min(first_delay, max_delay);
    for (std::size_t i = 0; i < n; ++i) {
        const double stretch = 1 + std::uniform_real_distribution<double>(0, jitter)(random);
        result.emplace_back(std::min(next * stretch, max_delay));
        next = std::min(next * factor, max_delay);
    }
    return result;
}

bool detail::wants_retry(const RetryOptions& options) {
    if (!options.check)
        return true;
    try {
        throw;
    } catch (const std::exception& error) {
        return options.check(error);
    } catch (...) {
        return true;
    }
}

} // namespace dshm
