// The best way to hand jobs of known length to processes: what no scheduler can beat.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <vector>

namespace bench {

struct Assignment {
    double makespan = std::numeric_limits<double>::infinity();
    std::vector<int> process; ///< which process does job i
};

/// Tries all assignments (pruned), O(processes^jobs): for a dozen jobs at most.
class BestAssignment {
public:
    BestAssignment(std::vector<double> seconds, int processes)
        : seconds_(std::move(seconds)), load_(static_cast<std::size_t>(processes), 0.0),
          process_(seconds_.size(), 0) {
        place(0);
    }
    const Assignment& result() const { return best_; }

private:
    void place(std::size_t job) {
        const double longest = *std::max_element(load_.begin(), load_.end());
        if (longest >= best_.makespan)
            return;
        if (job == seconds_.size()) {
            best_ = {longest, process_};
            return;
        }
        for (std::size_t p = 0; p < load_.size(); ++p) {
            const double before = load_[p];
            load_[p] += seconds_[job];
            process_[job] = static_cast<int>(p);
            place(job + 1);
            load_[p] = before;
        }
    }

    std::vector<double> seconds_;
    std::vector<double> load_;
    std::vector<int> process_;
    Assignment best_;
};

} // namespace bench
