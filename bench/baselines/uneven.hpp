// Rows of which some take long and some do not, in numbers of steps that are known, so that the work can be divided as well as it can be.
#pragma once

#include "baselines/heads.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

namespace bench {

/// Points c of the complex plane, from real part -2 to 0.5. Row 0 lies at imaginary part 1.25, where the sequence z² + c escapes at once; the
/// last row lies on the real axis, where most of it never does: the upper half of the Mandelbrot set. Gives the steps taken. Not inlined, so that all contenders run the same instructions
/// and round alike.
[[gnu::noinline]] inline long mandelbrot_steps(long row, long rows, long columns, int most) {
    const double y = 1.25 * static_cast<double>(rows - 1 - row) / static_cast<double>(rows);
    long steps = 0;
    for (long column = 0; column < columns; ++column) {
        const double x = -2 + 2.5 * static_cast<double>(column) / static_cast<double>(columns);
        double re = 0;
        double im = 0;
        for (int i = 0; i < most && re * re + im * im <= 4; ++i, ++steps) {
            const double next = re * re - im * im + x;
            im = 2 * re * im + y;
            re = next;
        }
    }
    return steps;
}

/// Row i takes i times as long as row 1: one side of a triangle of comparisons, distances, pairs.
[[gnu::noinline]] inline long triangle_heads(long row, long tosses_a_step) {
    return count_hashed_heads(0, row * tosses_a_step);
}

/// Which rows each process does so that all end at nearly the same time: those that cost most first, each to the process that has least to do
/// (Graham 1969). With many rows the longest share exceeds the mean by less than the cost of a cheap row.
inline std::vector<std::vector<long>> divide_well(const std::vector<long>& costs, int processes) {
    std::vector<long> order(costs.size());
    std::iota(order.begin(), order.end(), 0L);
    const auto cost = [&](long row) { return costs[static_cast<std::size_t>(row)]; };
    std::stable_sort(order.begin(), order.end(), [&](long a, long b) { return cost(a) > cost(b); });
    std::vector<std::vector<long>> rows(static_cast<std::size_t>(processes));
    std::vector<long> load(rows.size(), 0);
    for (const long row : order) {
        const auto idle = std::min_element(load.begin(), load.end()) - load.begin();
        rows[static_cast<std::size_t>(idle)].push_back(row);
        load[static_cast<std::size_t>(idle)] += cost(row);
    }
    return rows;
}

} // namespace bench
