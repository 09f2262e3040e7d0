// The time of one task: `fetch_from` of an empty function, there and back.
//
// Warm, one after the other, against a bare process that does nothing but answer, Open MPI's eight bytes between two ranks, and Python's
// pool; and after the session has been idle for a while, when the kernel must wake a worker, against a bare futex wake.
#include <dshm/dshm.hpp>

#include "baselines/crew.hpp"
#include "support/comparison.hpp"
#include "support/peers.hpp"

namespace {

using namespace std::chrono_literals;

void empty() {}

/// Empty tasks show nothing for themselves; the counters tell that they ran.
bench::Turn counting_tasks(bench::Turn turn, std::uint64_t at_least) {
    return [turn, at_least] {
        const auto before = dshm::counters();
        const double seconds = turn();
        bench::require((dshm::counters() - before).tasks_done >= at_least, "tasks were lost");
        return seconds;
    };
}

void compare_warm(bench::Program& program, dshm::WorkerId worker, bench::Crew& spinning,
                  bench::Crew& parked, bench::Coprocess* openmpi, bench::Coprocess* python) {
    const bench::Batch batch = program.batch(20'000);
    auto& warm = program.compare("round_trip/warm").rounds(21);
    warm.subject(
        "libdshm",
        counting_tasks(bench::back_to_back(batch, [worker] { dshm::fetch_from(worker, empty); }),
                       static_cast<std::uint64_t>(batch.calls)),
        0.8e-6);
    warm.peer("libdshm, 8 bytes", bench::back_to_back(batch, [worker] {
                  const auto echo = [](long value) { return value + 1; };
                  bench::require_equal(dshm::fetch_from(worker, echo, 41L), 42L);
              }));
    warm.peer("bare process, spinning", bench::back_to_back(batch, [&] { spinning.run(); }));
    warm.peer("bare process, parking",
              bench::back_to_back(program.batch(2'000), [&] { parked.run(); }));
    if (openmpi)
        warm.peer("Open MPI, 8 bytes", bench::asking(*openmpi, program.size("20000", "10")),
                  1 / 0.85);
    if (python)
        warm.peer("Python pool", bench::asking(*python, program.size("trip 200", "trip 2")));
}

/// Seconds from the wake until a parked bare process runs.
bench::Turn bare_wake(bench::Crew& stamping,
                      const bench::SharedMapping<bench::Clock::time_point>& stamp,
                      std::chrono::microseconds pause, int calls) {
    return [&stamping, &stamp, pause, calls] {
        std::vector<double> samples;
        for (int i = 0; i < calls; ++i) {
            std::this_thread::sleep_for(pause);
            const auto start = bench::Clock::now();
            stamping.run();
            samples.push_back(std::chrono::duration<double>(stamp[0] - start).count());
        }
        return bench::spread_of(samples).median;
    };
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    const dshm::WorkerId worker = dshm::addprocs(program.workers()).front();

    bench::SharedMapping<bench::Clock::time_point> stamp(1);
    bench::Crew spinning(1, [](int) {});
    bench::Crew parked(
        1, [&stamp](int) { stamp[0] = bench::Clock::now(); }, 0us);
    const auto openmpi = bench::start_openmpi_ping_pong();
    const auto python = bench::start_python_pool();

    compare_warm(program, worker, spinning, parked, openmpi.get(), python.get());

    const int calls = program.size(40, 2);
    const auto call = [worker] { dshm::fetch_from(worker, empty); };
    for (const auto pause : {std::chrono::microseconds(1ms), std::chrono::microseconds(10ms)}) {
        const bool short_pause = pause == 1ms;
        program.compare(short_pause ? "round_trip/after_1_ms" : "round_trip/after_10_ms")
            .rounds(short_pause ? 21 : 11)
            .subject("libdshm", bench::after_idle(pause, calls, call), short_pause ? 8e-6 : 0)
            .peer("bare futex wake, one way", bare_wake(parked, stamp, pause, calls),
                  short_pause ? 0 : 1 / 1.3)
            .peer("bare futex, and back", bench::after_idle(pause, calls, [&] { parked.run(); }));
    }
    return program.run();
}
