// What a parallel loop costs when there is next to nothing to do in it.
//
// `distributed` with an operator over 1000 trivial iterations against OpenMP's and oneTBB's reductions with as many
// threads: on workers only, and with the master working along while it waits. The same as the number of workers grows far past that of
// processors, called back to back and with all of them parked. And a longer loop with too many workers against one with as many as there
// are processors.
#include <dshm/dshm.hpp>

#include "baselines/bare_sum.hpp"
#include "baselines/heads.hpp"
#include "baselines/trivial.hpp"
#include "support/comparison.hpp"
#include "support/peers.hpp"

#include <optional>

namespace {

using dshm::Schedule;

constexpr long iterations = 1000;

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

/// OpenMP and oneTBB, where they are built in.
struct ThreadPeers {
    std::unique_ptr<bench::Coprocess> openmp = bench::start_thread_peer("openmp");
    std::unique_ptr<bench::Coprocess> tbb = bench::start_thread_peer("tbb");
};

/// Bare forked processes for one loop, as many as were last asked for.
class Bare {
public:
    long run(int members) {
        if (!sum_ || sum_->members() != members)
            sum_.emplace(iterations, members, bench::BareSum::Piece{bench::trivial_sum});
        return sum_->run();
    }

private:
    std::optional<bench::BareSum> sum_;
};

/// A call that checks its sum.
template <class Sum>
auto checked(Sum sum) {
    return [sum] {
        static const long expected = bench::trivial_sum(iterations);
        bench::require_equal(sum(), expected);
    };
}

template <class... Keywords>
auto loop(Keywords... keywords) {
    return checked([=] {
        return dshm::distributed(
            std::plus<>{}, dshm::range(0, iterations), [](long i) { return bench::trivial(i); },
            keywords...);
    });
}

auto serial_loop() {
    return checked([] {
        long count = iterations;
        benchmark::DoNotOptimize(count);
        return bench::trivial_sum(count);
    });
}

void add_peers(bench::Comparison& loops, const ThreadPeers& peers, int threads,
               bench::Batch batch) {
    const auto question = [=](const char* name) {
        return bench::thread_question(name, iterations, threads, batch);
    };
    if (peers.openmp)
        loops.peer("OpenMP", bench::asking(*peers.openmp, question("openmp_sum")), 1);
    if (peers.tbb)
        loops.peer("oneTBB", bench::asking(*peers.tbb, question("tbb_sum")));
    loops.peer("serial", bench::back_to_back(batch, serial_loop()));
}

/// On workers only.
void compare_small_loop(bench::Program& program, const ThreadPeers& peers, Bare& bare,
                        int workers) {
    const bench::Batch batch = program.batch(workers <= 16 ? 5'000 : 500);
    auto& loops =
        program.compare("loop/1000_iterations/workers_" + std::to_string(workers)).rounds(15);
    loops.subject("libdshm", with_workers(workers, bench::back_to_back(batch, loop())));
    loops.peer("bare forked processes",
               bench::back_to_back(batch, checked([&bare, workers] { return bare.run(workers); })));
    if (workers <= 16)
        add_peers(loops, peers, workers, batch);
}

/// With the master among those that work: one thread more than workers.
void compare_with_master(bench::Program& program, const ThreadPeers& peers, const char* name,
                         Schedule schedule, int threads) {
    const bench::Batch batch = program.batch(5'000);
    const auto turn = [=] {
        return bench::back_to_back(batch,
                                   loop(dshm::on(dshm::procs()), dshm::schedule(schedule)))();
    };
    auto& loops = program
                      .compare("loop/1000_with_the_master/" + std::string(name) + "/threads_" +
                               std::to_string(threads))
                      .rounds(15);
    loops.subject("libdshm", with_workers(threads - 1, turn));
    add_peers(loops, peers, threads, batch);
}

/// All asleep before each call.
void compare_parked(bench::Program& program, Bare& bare, int workers) {
    const auto pause = std::chrono::milliseconds(program.size(5, 1));
    const int calls = program.size(9, 1);
    program.compare("loop/1000_after_5_ms/workers_" + std::to_string(workers))
        .rounds(15)
        .subject("libdshm", with_workers(workers, bench::after_idle(pause, calls, loop())))
        .peer("bare forked processes", bench::after_idle(pause, calls, checked([&bare, workers] {
                                                             return bare.run(workers);
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

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const ThreadPeers peers;
    Bare bare;
    const int most = program.size(64, 4);
    for (int workers = 1; workers <= most; workers *= 2)
        compare_small_loop(program, peers, bare, workers);
    for (int workers = 1; workers <= most; workers *= 2)
        compare_parked(program, bare, workers);
    for (const int threads : {2, 3}) {
        compare_with_master(program, peers, "static", Schedule::static_, threads);
        compare_with_master(program, peers, "dynamic", Schedule::dynamic, threads);
    }
    compare_crowd(program, program.workers(), program.size(16, 4));
    return program.run();
}
