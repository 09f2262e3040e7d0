// Median and quartiles.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace bench {

/// The middle of a sample, with the quartiles around it.
struct Spread {
    double low = 0;
    double median = 0;
    double high = 0;
};

/// Linear interpolation between the neighbours in rank. `sorted` must not be empty.
inline double quantile(const std::vector<double>& sorted, double fraction) {
    const double rank = fraction * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(rank);
    const auto above = std::min(below + 1, sorted.size() - 1);
    const double weight = rank - static_cast<double>(below);
    return sorted[below] * (1 - weight) + sorted[above] * weight;
}

inline Spread spread_of(std::vector<double> samples) {
    if (samples.empty())
        return {};
    std::sort(samples.begin(), samples.end());
    return {quantile(samples, 0.25), quantile(samples, 0.5), quantile(samples, 0.75)};
}

} // namespace bench
