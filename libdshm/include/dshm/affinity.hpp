// Which processors workers run on.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace dshm {

// Source: Julia's LocalAffinityManager. Processors are counted among those that the master may use.
class Affinity {
public:
    static Affinity none() { return Affinity(Kind::none, {}); }
    // Worker i on processor i, cyclically.
    static Affinity compact() { return Affinity(Kind::compact, {}); }
    // n workers spread evenly over all processors.
    static Affinity balanced() { return Affinity(Kind::balanced, {}); }
    // These processors, one worker each, cyclically. Throws std::invalid_argument when the list is
    // empty or has a negative number.
    static Affinity cpus(std::vector<int> list);

    // From "none", "compact", "balanced" or "0,2,5". Throws std::invalid_argument.
    static Affinity parse(std::string_view text);

    // The processors of each of n workers; empty when they are not pinned.
    std::vector<std::vector<int>> of_workers(int n) const;

private:
    enum class Kind { none, compact, balanced, list };
    Affinity(Kind kind, std::vector<int> list) : kind_(kind), list_(std::move(list)) {}

    Kind kind_;
    std::vector<int> list_;
};

} // namespace dshm
