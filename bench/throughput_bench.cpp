// Tiny tasks a second: a million empty ones spawned in one `sync`, against the tasks of oneTBB and OpenMP, which stay
// inside one process and hand pointers around (a process of their own: see baselines/thread_peers.cpp).
#include <dshm/dshm.hpp>

#include "support/comparison.hpp"
#include "support/peers.hpp"

namespace {

double spawn_empty_tasks(long count) {
    const auto before = dshm::counters();
    const double seconds = bench::seconds_of([count] {
        dshm::sync([count] {
            for (long i = 0; i < count; ++i)
                dshm::spawn([] {});
        });
    });
    const auto done = static_cast<long>((dshm::counters() - before).tasks_done);
    bench::require(done >= count, "tasks were lost");
    return seconds / static_cast<double>(count);
}

/// Keeps the compiler from seeing that the task is empty.
void nothing() { benchmark::ClobberMemory(); }

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(program.workers());
    const auto openmp = bench::start_thread_peer("openmp");
    const auto tbb = bench::start_thread_peer("tbb");

    const long count = program.size(1'000'000L, 1'000L);
    const auto per_task = static_cast<double>(count);
    const bench::Batch one{1, std::chrono::milliseconds(program.size(100, 0))};
    const auto question = [&](const char* name) {
        return bench::thread_question(name, count, program.workers(), one);
    };
    auto& empty = program.compare("spawn/empty_tasks").rounds(15).counted_in("tasks");
    empty.subject(
        "libdshm", [count] { return spawn_empty_tasks(count); }, 1 / 20e6);
    if (tbb)
        empty.peer("oneTBB task_group", bench::asking(*tbb, question("tbb_tasks"), per_task), 9);
    if (openmp)
        empty.peer("OpenMP tasks", bench::asking(*openmp, question("openmp_tasks"), per_task));
    empty.peer("serial calls", [=] {
        return bench::seconds_of([=] {
                   for (long i = 0; i < count; ++i)
                       nothing();
               }) /
               per_task;
    });
    return program.run();
}
