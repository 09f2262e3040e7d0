// OpenMP and oneTBB doing next to nothing, as a coprocess (see support/coprocess.hpp): for workloads of nanoseconds.
//
// They have a process of their own because threads change the process that they live in: glibc and libdshm take locks only in one
// that has ever had a second thread, and a program that uses libdshm instead of threads has none.
//
// Reads `QUESTION COUNT THREADS CALLS WARM_UP` lines and answers with the seconds of one call: QUESTION is
//   openmp_tasks, tbb_tasks      COUNT empty tasks
//   openmp_sum, tbb_sum          the sum of a trivial function over COUNT indices
//   openmp_map, tbb_map          a trivial function over COUNT doubles, into a new vector
//   openmp_map_kept              the same, into one that is kept
//   openmp_jobs, tbb_jobs        COUNT jobs of about 100 us, each to whichever thread is free
// CALLS are measured, after WARM_UP milliseconds of the same. A negative answer: not built in, or a wrong result.
#include "baselines/heads.hpp"
#include "baselines/openmp.hpp"
#include "baselines/trivial.hpp"
#include "support/measure.hpp"
#ifdef BENCH_HAVE_TBB
#include "baselines/onetbb.hpp"
#endif

#include <iostream>
#include <vector>

namespace {

struct Question {
    std::string name;
    long count = 0;
    int threads = 0;
    int calls = 0;
    long warm_up = 0;
};

std::istream& operator>>(std::istream& in, Question& q) {
    return in >> q.name >> q.count >> q.threads >> q.calls >> q.warm_up;
}

/// Keeps the compiler from seeing that the task is empty.
void nothing() { asm volatile("" ::: "memory"); }

constexpr auto inlined = [](long i) { return bench::trivial(i); };

/// Found once, outside of what is measured: the warm-up of each question asks first.
long heads_of_all_jobs(long count) {
    static long counted = -1;
    static long heads = 0;
    if (counted != count) {
        heads = bench::sum_of_jobs(0, count);
        counted = count;
    }
    return heads;
}

void check_sum(long sum, long count) { bench::require_equal(sum, bench::trivial_sum(count)); }

using Doubles = std::vector<double>;

void map_with_openmp(const Doubles& values, Doubles& mapped, int threads) {
    bench::openmp_for(static_cast<long>(values.size()), threads, [&](long i) {
        mapped[static_cast<std::size_t>(i)] =
            bench::twice_plus_one(values[static_cast<std::size_t>(i)]);
    });
    bench::require(mapped.back() == bench::twice_plus_one(values.back()), "wrong result");
}

std::function<void()> openmp_work(const Question& q) {
    if (!bench::has_openmp)
        return {};
    if (q.name == "openmp_tasks")
        return [q] { bench::openmp_tasks(q.count, q.threads, [] { nothing(); }); };
    if (q.name == "openmp_sum")
        return [q] { check_sum(bench::openmp_sum(q.count, q.threads, inlined), q.count); };
    if (q.name == "openmp_jobs")
        return [q] {
            bench::require_equal(bench::openmp_sum(q.count, q.threads, bench::heads_of_job,
                                                   bench::OpenmpSchedule::dynamic),
                                 heads_of_all_jobs(q.count));
        };
    const Doubles values(static_cast<std::size_t>(q.count), 1.5);
    if (q.name == "openmp_map")
        return [q, values] {
            Doubles mapped(values.size());
            map_with_openmp(values, mapped, q.threads);
        };
    if (q.name == "openmp_map_kept")
        return
            [q, values, mapped = values]() mutable { map_with_openmp(values, mapped, q.threads); };
    return {};
}

#ifdef BENCH_HAVE_TBB
void map_with_tbb(const Doubles& values) {
    Doubles mapped(values.size());
    bench::tbb_for(static_cast<long>(values.size()), [&](long i) {
        mapped[static_cast<std::size_t>(i)] =
            bench::twice_plus_one(values[static_cast<std::size_t>(i)]);
    });
    bench::require(mapped.back() == bench::twice_plus_one(values.back()), "wrong result");
}
#endif

std::function<void()> tbb_work([[maybe_unused]] const Question& q) {
#ifdef BENCH_HAVE_TBB
    if (q.name == "tbb_tasks")
        return [q] { bench::tbb_tasks(q.count, [] { nothing(); }); };
    if (q.name == "tbb_sum")
        return [q] { check_sum(bench::tbb_sum(q.count, inlined), q.count); };
    if (q.name == "tbb_jobs")
        return [q] {
            bench::require_equal(bench::tbb_sum(q.count, bench::heads_of_job),
                                 heads_of_all_jobs(q.count));
        };
    if (q.name == "tbb_map")
        return [values = Doubles(static_cast<std::size_t>(q.count), 1.5)] { map_with_tbb(values); };
#endif
    return {};
}

double answer(const Question& q) {
#ifdef BENCH_HAVE_TBB
    bench::TbbThreads limit(q.threads);
#endif
    std::function<void()> work = openmp_work(q);
    if (!work)
        work = tbb_work(q);
    if (!work)
        return -1;
    return bench::back_to_back({q.calls, std::chrono::milliseconds(q.warm_up)}, work)();
}

} // namespace

int main() {
    for (Question question; std::cin >> question;)
        std::cout << answer(question) << std::endl;
}
