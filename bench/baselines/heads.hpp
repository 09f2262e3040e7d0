// Counting heads: the workload of the notebook, as a sum over indices that comes out the same however it is split.
#pragma once

#include <cstdint>
#include <random>

namespace bench {

/// The i-th toss: splitmix64 of a counter, so that any process may do any index.
inline long hashed_toss(long i) {
    std::uint64_t z = static_cast<std::uint64_t>(i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return static_cast<long>((z ^ (z >> 31)) & 1);
}

inline long count_hashed_heads(long first, long last) {
    long heads = 0;
    for (long i = first; i < last; ++i)
        heads += hashed_toss(i);
    return heads;
}

/// A job of about 100 us, each with other tosses.
inline long heads_of_job(long job) {
    constexpr long tosses = 400'000;
    return count_hashed_heads(job * tosses, (job + 1) * tosses);
}

inline long sum_of_jobs(long first, long last) {
    long heads = 0;
    for (long job = first; job < last; ++job)
        heads += heads_of_job(job);
    return heads;
}

/// A toss of this process's own generator.
inline long random_toss() {
    thread_local std::mt19937_64 generator(std::random_device{}());
    return static_cast<long>(generator() & 1);
}

inline long count_random_heads(long first, long last) {
    long heads = 0;
    for (long i = first; i < last; ++i)
        heads += random_toss();
    return heads;
}

} // namespace bench
