// Tiny tasks a second: a million empty ones spawned in one `sync`, against the task groups of oneTBB and OpenMP,
// which stay inside one process and hand pointers around.
#include <dshm/dshm.hpp>

#include "baselines/openmp.hpp"
#include "support/comparison.hpp"
#ifdef BENCH_HAVE_TBB
#include "baselines/onetbb.hpp"
#endif

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
    const int threads = program.workers();

    const long count = program.size(1'000'000L, 1'000L);
    const auto per_task = [count](auto work) {
        return [count, work] { return bench::seconds_of(work) / static_cast<double>(count); };
    };
    auto& empty = program.compare("spawn/empty_tasks").rounds(15).counted_in("tasks");
    empty.subject(
        "libdshm", [count] { return spawn_empty_tasks(count); }, 1 / 20e6);
#ifdef BENCH_HAVE_TBB
    bench::TbbThreads limit(threads);
    empty.peer("oneTBB task_group", per_task([=] { bench::tbb_tasks(count, nothing); }), 9);
#endif
    if (bench::has_openmp)
        empty.peer("OpenMP tasks", per_task([=] { bench::openmp_tasks(count, threads, nothing); }));
    empty.peer("serial calls", per_task([=] {
                   for (long i = 0; i < count; ++i)
                       nothing();
               }));
    return program.run();
}
