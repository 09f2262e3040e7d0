// What a parallel loop costs when there is next to nothing to do in it.
//
// `distributed` with an operator over 1000 trivial iterations against OpenMP's and oneTBB's reductions with as many
// threads; the same as the number of workers grows past that of processors; a longer loop with too many workers
// against one with as many as there are processors; and `pmap` of a trivial function over 100,000 doubles.
#include <dshm/dshm.hpp>

#include "baselines/heads.hpp"
#include "baselines/openmp.hpp"
#include "support/comparison.hpp"
#include "support/peers.hpp"
#ifdef BENCH_HAVE_TBB
#include "baselines/onetbb.hpp"
#endif

namespace {

/// Starts or ends workers until there are `count`.
void have_workers(int count) {
    const int running = dshm::nprocs() - 1;
    if (running < count)
        dshm::addprocs(count - running);
    if (running > count) {
        std::vector<dshm::WorkerId> ids = dshm::workers();
        ids.erase(ids.begin(), ids.begin() + count);
        dshm::rmprocs(ids).wait();
    }
}

/// The turn with so many workers.
bench::Turn with_workers(int count, bench::Turn turn) {
    return [count, turn] {
        have_workers(count);
        return turn();
    };
}

constexpr long iterations = 1000;

long trivial(long i) { return i ^ 5; }

long expected_sum() {
    long total = 0;
    for (long i = 0; i < iterations; ++i)
        total += trivial(i);
    return total;
}

/// A call that checks its sum.
template <class Sum>
auto checked(Sum sum) {
    return [sum, expected = expected_sum()] { bench::require_equal(sum(), expected); };
}

void compare_small_loop(bench::Program& program, int workers) {
    const bench::Batch batch = program.batch(5'000);
    const auto body = [](long i) { return trivial(i); };
    const auto distributed = [=] {
        return dshm::distributed(std::plus<>{}, dshm::range(0, iterations), body);
    };
    auto& loop =
        program.compare("loop/1000_iterations/workers_" + std::to_string(workers)).rounds(15);
    loop.subject("libdshm",
                 with_workers(workers, bench::back_to_back(batch, checked(distributed))));
    if (bench::has_openmp)
        loop.peer("OpenMP",
                  bench::back_to_back(
                      batch, checked([=] { return bench::openmp_sum(iterations, workers, body); })),
                  1);
#ifdef BENCH_HAVE_TBB
    loop.peer("oneTBB", bench::back_to_back(
                            batch, checked([=] { return bench::tbb_sum(iterations, body); })));
#endif
    loop.peer("serial", bench::back_to_back(batch, checked([=] {
                                                long total = 0, count = iterations;
                                                benchmark::DoNotOptimize(count);
                                                for (long i = 0; i < count; ++i)
                                                    total += body(i);
                                                return total;
                                            })));
}

/// More workers than processors must not slow a loop down.
void compare_crowd(bench::Program& program, int few, int many) {
    const long tosses = program.size(20'000'000L, 10'000L);
    const long expected = bench::count_hashed_heads(0, tosses);
    const auto count = [=] {
        return dshm::distributed(std::plus<>{}, dshm::range(0, tosses),
                                 [](long i) { return bench::hashed_toss(i); });
    };
    program.compare("loop/crowd_of_" + std::to_string(many))
        .subject("libdshm, all", with_workers(many, bench::once(count, expected)))
        .peer("libdshm, as processors", with_workers(few, bench::once(count, expected)), 1 / 1.1);
}

void compare_pmap(bench::Program& program, bench::Coprocess* python) {
    const auto count = program.size<std::size_t>(100'000, 1'000);
    const auto elements = static_cast<double>(count);
    const int threads = program.workers();
    std::vector<double> values(count);
    std::vector<double> expected(count);
    for (std::size_t i = 0; i < count; ++i) {
        values[i] = static_cast<double>(i);
        expected[i] = 2 * values[i] + 1;
    }
    const auto twice = [](double x) { return 2 * x + 1; };
    /// Seconds an element; the result lies in a new vector, as pmap's does.
    const auto turn = [=](auto map) -> bench::Turn {
        return [=] {
            std::vector<double> mapped;
            for (int i = 0; i < 20; ++i)
                map(values);
            const double seconds = bench::seconds_of([&] { mapped = map(values); });
            bench::require(mapped == expected, "wrong result");
            return seconds / elements;
        };
    };
    auto& map = program.compare("pmap/100000_doubles").rounds(31).counted_in("elements");
    map.subject("libdshm",
                with_workers(threads, turn([=](const auto& xs) { return dshm::pmap(twice, xs); })),
                1 / 300e6);
    if (bench::has_openmp)
        map.peer("OpenMP", turn([=](const auto& xs) {
                     std::vector<double> ys(xs.size());
                     bench::openmp_for(static_cast<long>(xs.size()), threads, [&](long i) {
                         ys[static_cast<std::size_t>(i)] = twice(xs[static_cast<std::size_t>(i)]);
                     });
                     return ys;
                 }),
                 0.8);
    map.peer("serial", turn([=](const auto& xs) {
                 std::vector<double> ys(xs.size());
                 std::transform(xs.begin(), xs.end(), ys.begin(), twice);
                 return ys;
             }));
    if (python)
        map.peer(
            "Python pool",
            [python, count, elements] {
                return python->ask("map " + std::to_string(count)) / elements;
            },
            40);
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const auto python = bench::start_python_pool();
#ifdef BENCH_HAVE_TBB
    bench::TbbThreads limit(program.workers());
#endif
    const int most = program.size(16, 4);
    for (int workers = 1; workers <= most; workers *= 2)
        compare_small_loop(program, workers);
    compare_crowd(program, program.workers(), most);
    compare_pmap(program, python.get());
    return program.run();
}
