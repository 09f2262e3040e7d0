// The same work with oneTBB, whose threads are limited to the number that the comparison uses. Include it only
// where BENCH_HAVE_TBB is defined. As with OpenMP, nothing may run here before all processes are forked.
#pragma once

#include <tbb/blocked_range.h>
#include <tbb/global_control.h>
#include <tbb/parallel_for.h>
#include <tbb/parallel_reduce.h>
#include <tbb/task_group.h>

#include <cstddef>
#include <functional>

namespace bench {

/// Holds oneTBB to this many threads, the caller included, for as long as it lives.
class TbbThreads {
public:
    explicit TbbThreads(int threads)
        : limit_(tbb::global_control::max_allowed_parallelism, static_cast<std::size_t>(threads)) {}

private:
    tbb::global_control limit_;
};

template <class Body>
void tbb_tasks(long count, Body body) {
    tbb::task_group group;
    for (long i = 0; i < count; ++i)
        group.run(body);
    group.wait();
}

template <class Body>
long tbb_sum(long count, Body body) {
    return tbb::parallel_reduce(
        tbb::blocked_range<long>(0, count), 0L,
        [&](const tbb::blocked_range<long>& part, long total) {
            for (long i = part.begin(); i != part.end(); ++i)
                total += static_cast<long>(body(i));
            return total;
        },
        std::plus<>{});
}

template <class Body>
void tbb_for(long count, Body body) {
    tbb::parallel_for(0L, count, body);
}

} // namespace bench
