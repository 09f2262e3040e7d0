// 07: count heads in 200 million tosses of a coin.
//
// Julia: @distributed (+) for i = 1:200_000_000; Int(rand(Bool)); end
//
// The tosses are numbered, and a toss is a hash of its number: so the count does not depend on how many
// workers share the work. The number of tosses may be given as an argument.

#include <dshm/dshm.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace {

/// The finaliser of splitmix64 (Steele, Lea and Flood 2014), of which we take one bit.
long heads(std::ptrdiff_t toss) {
    std::uint64_t bits = static_cast<std::uint64_t>(toss) * 0x9e3779b97f4a7c15;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111eb;
    return static_cast<long>((bits ^ (bits >> 31)) & 1);
}

long count_here(std::ptrdiff_t tosses) {
    long count = 0;
    for (std::ptrdiff_t toss = 0; toss < tosses; ++toss)
        count += heads(toss);
    return count;
}

long count_distributed(std::ptrdiff_t tosses) {
    // A lambda, not `heads` itself: the loop can be inlined into it, but not into a function pointer.
    return dshm::distributed(std::plus<>{}, dshm::range(0, tosses),
                             [](std::ptrdiff_t toss) { return heads(toss); });
}

/// Prints the count with its time, and gives the time.
double report(const char* where, long (*count)(std::ptrdiff_t), std::ptrdiff_t tosses) {
    const auto begin = std::chrono::steady_clock::now();
    const long result = count(tosses);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("%s: %ld heads, %.3f s\n", where, result, seconds.count());
    return seconds.count();
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);
    const std::ptrdiff_t tosses = argc > 1 ? std::atol(argv[1]) : 200'000'000;

    std::printf("%td tosses\n", tosses);
    const double here = report("master alone", count_here, tosses);
    const double distributed = report("distributed", count_distributed, tosses);
    std::printf("%d workers, %.2f times as fast\n", dshm::nworkers(), here / distributed);
}
