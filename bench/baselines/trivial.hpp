// Functions with next to nothing in them, whose loops measure what a loop costs.
#pragma once

namespace bench {

inline long trivial(long i) { return i ^ 5; }

/// The serial baseline, and what all others must give.
inline long trivial_sum(long count) {
    long total = 0;
    for (long i = 0; i < count; ++i)
        total += trivial(i);
    return total;
}

inline double twice_plus_one(double x) { return 2 * x + 1; }

} // namespace bench
