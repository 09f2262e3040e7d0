// The same loops with OpenMP. `has_openmp` is false where the compiler was not asked for it: leave the peer out then.
//
// No region may run before the session, its workers and all crews exist: a process forked afterwards hangs in its
// first region.
#pragma once

#include <cstddef>

namespace bench {

#ifdef _OPENMP
inline constexpr bool has_openmp = true;
#else
inline constexpr bool has_openmp = false;
#endif

enum class OpenmpSchedule { static_, dynamic, guided };

/// Sum of body(i) for i in [0, count).
template <class Body>
long openmp_sum(long count, int threads, Body body,
                OpenmpSchedule schedule = OpenmpSchedule::static_) {
    long total = 0;
    if (schedule == OpenmpSchedule::static_) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static) reduction(+ : total) num_threads(threads)
#endif
        for (long i = 0; i < count; ++i)
            total += static_cast<long>(body(i));
    } else if (schedule == OpenmpSchedule::dynamic) {
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) reduction(+ : total) num_threads(threads)
#endif
        for (long i = 0; i < count; ++i)
            total += static_cast<long>(body(i));
    } else {
#ifdef _OPENMP
#pragma omp parallel for schedule(guided) reduction(+ : total) num_threads(threads)
#endif
        for (long i = 0; i < count; ++i)
            total += static_cast<long>(body(i));
    }
    static_cast<void>(threads);
    return total;
}

/// body(i) for i in [0, count), split evenly.
template <class Body>
void openmp_for(long count, int threads, Body body) {
#ifdef _OPENMP
#pragma omp parallel for schedule(static) num_threads(threads)
#endif
    for (long i = 0; i < count; ++i)
        body(i);
    static_cast<void>(threads);
}

/// body(i) for i in [0, count), one at a time to whoever is free.
template <class Body>
void openmp_dynamic(long count, int threads, Body body) {
#ifdef _OPENMP
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
#endif
    for (long i = 0; i < count; ++i)
        body(i);
    static_cast<void>(threads);
}

/// `count` tasks made by one thread, run by all.
template <class Body>
void openmp_tasks(long count, int threads, Body body) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
#pragma omp single
    for (long i = 0; i < count; ++i) {
#pragma omp task
        body();
    }
#else
    for (long i = 0; i < count; ++i)
        body();
#endif
    static_cast<void>(threads);
}

} // namespace bench
