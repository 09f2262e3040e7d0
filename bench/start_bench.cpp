// From `addprocs(4)` to the first result of each worker, against four bare forks that each report once, and against
// Python's pool of four forked processes.
#include <dshm/dshm.hpp>

#include "baselines/crew.hpp"
#include "support/comparison.hpp"
#include "support/peers.hpp"

namespace {

/// Seconds until each of `count` new workers has answered; they are gone again afterwards.
double start_workers(int count) {
    std::vector<dshm::WorkerId> ids;
    std::vector<int> answers;
    const double seconds = bench::seconds_of([&] {
        ids = dshm::addprocs(count);
        std::vector<dshm::Future<int>> futures;
        for (const dshm::WorkerId id : ids)
            futures.push_back(dshm::spawn_at(id, [] { return dshm::myid(); }));
        for (const auto& future : futures)
            answers.push_back(dshm::fetch(future));
    });
    bench::require(answers == ids, "a worker answered for another");
    dshm::rmprocs(ids).wait();
    return seconds;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const auto python = bench::start_python_pool();

    constexpr int processes = 4;
    auto& start = program.compare("start/4_workers").rounds(21);
    start.subject(
        "libdshm", [] { return start_workers(processes); }, 2e-3);
    start.peer("bare forks", [] { return bench::seconds_to_fork(processes); });
    if (python)
        start.peer("Python fork pool", bench::asking(*python, "start 4"), 3);
    return program.run();
}
