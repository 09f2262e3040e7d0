// Functions with next to nothing in them, whose loops measure what a loop costs.
#pragma once

namespace bench {

inline long trivial(long i) { return i ^ 5; }

inline long trivial_sum(long first, long last) {
    long total = 0;
    for (long i = first; i < last; ++i)
        total += trivial(i);
    return total;
}

/// The serial baseline, and what all others must give.
inline long trivial_sum(long count) { return trivial_sum(0, count); }

inline double twice_plus_one(double x) { return 2 * x + 1; }

} // namespace bench
