// What a parallel loop costs when there is next to nothing to do in it.
//
// `distributed` with an operator over 1000 trivial iterations against OpenMP's and oneTBB's reductions with as many
// threads; the same as the number of workers grows past that of processors; a longer loop with too many workers
// against one with as many as there are processors; and `pmap` of a trivial function over 100,000 doubles.
#include <dshm/dshm.hpp>

#include "baselines/heads.hpp"
#include "baselines/trivial.hpp"
#include "support/comparison.hpp"
#include "support/peers.hpp"

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

/// OpenMP and oneTBB, where they are built in.
struct ThreadPeers {
    std::unique_ptr<bench::Coprocess> openmp = bench::start_thread_peer("openmp");
    std::unique_ptr<bench::Coprocess> tbb = bench::start_thread_peer("tbb");
};

/// A call that checks its sum.
template <class Sum>
auto checked(Sum sum) {
    return [sum] {
        static const long expected = bench::trivial_sum(iterations);
        bench::require_equal(sum(), expected);
    };
}

void compare_small_loop(bench::Program& program, const ThreadPeers& threads, int workers) {
    const bench::Batch batch = program.batch(5'000);
    const auto question = [=](const char* name) {
        return bench::thread_question(name, iterations, workers, batch);
    };
    const auto distributed = [] {
        return dshm::distributed(std::plus<>{}, dshm::range(0, iterations),
                                 [](long i) { return bench::trivial(i); });
    };
    const auto serial = [] {
        long count = iterations;
        benchmark::DoNotOptimize(count);
        return bench::trivial_sum(count);
    };
    auto& loop =
        program.compare("loop/1000_iterations/workers_" + std::to_string(workers)).rounds(15);
    loop.subject("libdshm",
                 with_workers(workers, bench::back_to_back(batch, checked(distributed))));
    if (threads.openmp)
        loop.peer("OpenMP", bench::asking(*threads.openmp, question("openmp_sum")), 1);
    if (threads.tbb)
        loop.peer("oneTBB", bench::asking(*threads.tbb, question("tbb_sum")));
    loop.peer("serial", bench::back_to_back(batch, checked(serial)));
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

void compare_pmap(bench::Program& program, const ThreadPeers& threads, bench::Coprocess* python) {
    const long count = program.size(100'000L, 1'000L);
    const auto elements = static_cast<double>(count);
    const bench::Batch batch{program.size(20, 1), std::chrono::milliseconds(program.size(20, 0))};
    std::vector<double> values(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = static_cast<double>(i);
    std::vector<double> expected(values.size());
    std::transform(values.begin(), values.end(), expected.begin(), bench::twice_plus_one);

    /// Seconds an element; the result lies in a new vector, as pmap's does.
    const auto turn = [=](auto map) -> bench::Turn {
        return [=] {
            bench::require(map(values) == expected, "wrong result");
            return bench::back_to_back(batch, [&] { benchmark::DoNotOptimize(map(values)); })() /
                   elements;
        };
    };
    const auto mapped = [](const auto& xs) {
        return dshm::pmap([](double x) { return bench::twice_plus_one(x); }, xs);
    };
    const auto serial = [](const auto& xs) {
        std::vector<double> ys(xs.size());
        std::transform(xs.begin(), xs.end(), ys.begin(), bench::twice_plus_one);
        return ys;
    };
    auto& map = program.compare("pmap/100000_doubles").counted_in("elements");
    map.subject("libdshm", with_workers(program.workers(), turn(mapped)), 1 / 300e6);
    if (threads.openmp)
        map.peer(
            "OpenMP",
            bench::asking(*threads.openmp,
                          bench::thread_question("openmp_map", count, program.workers(), batch),
                          elements),
            0.8);
    map.peer("serial", turn(serial));
    if (python)
        map.peer("Python pool", bench::asking(*python, "map " + std::to_string(count), elements),
                 40);
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const auto python = bench::start_python_pool();
    const ThreadPeers threads;
    const int most = program.size(16, 4);
    for (int workers = 1; workers <= most; workers *= 2)
        compare_small_loop(program, threads, workers);
    compare_crowd(program, program.workers(), most);
    compare_pmap(program, threads, python.get());
    return program.run();
}
