// task_rng(): random numbers that are the same however many workers there are.
//
//     long heads = dshm::distributed(std::plus<>{}, dshm::range(0, 200'000'000),
//                                    [](long) { return dshm::task_rng()() & 1; });
//
// The stream is fixed by (session seed, loop or map, position in its range), in a task outside of
// loops by (session seed, chain of calls that led to it): neither the number of workers nor the
// schedule nor who runs what changes a draw. Two runs of a program give the same numbers,
// unless SessionOptions::seed or DSHM_SEED asks for others. Loops, maps and tasks count in
// the order in which one thread or task makes them. Threads that the program starts itself get
// streams in the order of their first draw.
//
// Philox4x32-10 (runtime/philox.hpp): no stream overlaps with another one before 2^63 draws. About
// as fast as a serial std::mt19937_64 or faster, when iterations are visited in order.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "dshm/runtime/task_stream.hpp"

namespace dshm {

// A UniformRandomBitGenerator without state of its own: whatever copy of it is called, wherever, draws
// from the stream of the iteration or task that runs there. So a reference may be kept and passed on,
// also across a wait.
class TaskRng {
public:
    using result_type = std::uint64_t;
    static constexpr result_type min() { return 0; }
    static constexpr result_type max() { return std::numeric_limits<result_type>::max(); }

    // Throws std::logic_error when there is no session.
    result_type operator()() const { return runtime::RandomStream::current().next(); }
    // The next words.size() draws at once, several times as fast: O(words.size()).
    void fill(std::span<std::uint64_t> words) const { runtime::RandomStream::fill(words); }
};

// The generator of whatever runs here.
inline TaskRng& task_rng() noexcept {
    static TaskRng rng;
    return rng;
}

} // namespace dshm
