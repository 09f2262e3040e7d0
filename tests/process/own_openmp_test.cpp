// OpenMP in programs with a session: regions before it, beside it, and in tasks.

#include <omp.h>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// How many threads a parallel region has here, each of which must have done its share.
int region() {
    int threads = 0;
    long sum = 0;
#pragma omp parallel reduction(+ : sum)
    {
#pragma omp single
        threads = omp_get_num_threads();
#pragma omp for
        for (long i = 0; i < 10'000; ++i)
            sum += i;
    }
    DEMAND(sum == 10'000L * 9'999 / 2);
    return threads;
}

SessionOptions with_workers(int workers) {
    SessionOptions options;
    options.workers = workers;
    return options;
}

// In a process whose OpenMP has not run yet: that of a test may be the parent of the next.
template <class Body>
void alone(Body body) {
    unsetenv("OMP_NUM_THREADS");
    CHECK(left_well(run_in_child([&] {
        alarm(case_seconds);
        body();
    })));
}

} // namespace

TEST_CASE("regions in the master after the Session, and workers that come later") {
    alone([] {
        Session session(with_workers(1));
        omp_set_num_threads(3);
        DEMAND(region() == 3);
        DEMAND(addprocs(2) == std::vector<int>({3, 4}));
        for (const int id : workers())
            DEMAND(fetch_from(id, region) == 1);
        DEMAND(region() == 3);
    });
}

TEST_CASE("regions in tasks have one thread unless the program asks for more") {
    alone([] {
        Session session(with_workers(2));
        for (const int id : workers())
            DEMAND(fetch_from(id, region) == 1);
        DEMAND(fetch_from(2, [] {
                   omp_set_num_threads(3);
                   return region();
               }) == 3);
        DEMAND(fetch_from(2, region) == 3 && fetch_from(3, region) == 1);
        const auto four = [] {
            int threads = 0;
#pragma omp parallel num_threads(4)
#pragma omp single
            threads = omp_get_num_threads();
            return threads;
        };
        DEMAND(fetch_from(3, four) == 4);
        AddprocsOptions options;
        options.enable_threaded_blas = true;
        const std::vector<int> ids = addprocs(1, options);
        DEMAND(fetch_from(ids[0], omp_get_max_threads) == omp_get_num_procs());
        rmprocs(workers()).wait();
    });
}

TEST_CASE("threads of a region in the master use the session") {
    alone([] {
        Session session(with_workers(2));
        omp_set_num_threads(4);
        long sum = 0;
#pragma omp parallel for reduction(+ : sum)
        for (int i = 0; i < 100; ++i)
            sum += fetch([i] { return i; });
        DEMAND(sum == 4950);
    });
}

TEST_CASE("threads of a region in a task use the session") {
    alone([] {
        Session session(with_workers(2));
        const auto sum_of_fetches = [] {
            long sum = 0;
#pragma omp parallel for num_threads(3) reduction(+ : sum)
            for (int i = 0; i < 60; ++i)
                sum += fetch_from(3, [i] { return i; });
            return sum;
        };
        DEMAND(fetch_from(2, sum_of_fetches) == 59 * 30);
    });
}

// Its threads are not there in a forked process, which would wait for them for ever: so it must not have any to wait for.
TEST_CASE("regions before a Session whose workers are forked all the same") {
    alone([] {
        omp_set_num_threads(3);
        DEMAND(region() == 3);
        SessionOptions options = with_workers(2);
        options.start = Start::fork;
        Session session(options);
        DEMAND(region() == 3);
        for (const int id : workers())
            DEMAND(fetch_from(id, region) == 1);
        // One that is asked for more than one thread there hangs, with GNU's runtime.
    });
}
