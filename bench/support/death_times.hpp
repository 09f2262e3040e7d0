// Times of many deaths of one kind: the median, the 99th in a hundred and the longest, since of a death the longest counts.
#pragma once

#include "support/statistics.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

namespace bench {

class DeathTimes {
public:
    /// At most `median` and `longest` seconds are wanted (0: no target).
    explicit DeathTimes(std::string name, double median = 0, double longest = 0)
        : name_(std::move(name)), wanted_median_(median), wanted_longest_(longest) {}

    void add(double seconds) { seconds_.push_back(seconds); }

    /// Prints a line. False if a target was missed.
    bool print() const {
        std::vector<double> sorted = seconds_;
        std::sort(sorted.begin(), sorted.end());
        const double median = quantile(sorted, 0.5), longest = sorted.back();
        const bool good = (wanted_median_ == 0 || median <= wanted_median_) &&
                          (wanted_longest_ == 0 || longest <= wanted_longest_);
        const bool wanted = wanted_median_ != 0 || wanted_longest_ != 0;
        std::printf("  %-42s p50 %7.3f  [%7.3f .. %7.3f]  p99 %7.3f  max %7.3f ms  of %zu%s\n",
                    name_.c_str(), 1e3 * median, 1e3 * quantile(sorted, 0.25),
                    1e3 * quantile(sorted, 0.75), 1e3 * quantile(sorted, 0.99), 1e3 * longest,
                    sorted.size(),
                    !wanted ? ""
                    : good  ? "  reached"
                            : "  MISSED");
        std::fflush(stdout);
        return good;
    }

private:
    std::string name_;
    double wanted_median_;
    double wanted_longest_;
    std::vector<double> seconds_;
};

} // namespace bench
