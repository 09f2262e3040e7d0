// From the death of a worker until a waiter runs: who fetches what it ran, in the master or in another worker, asleep or
// awake, and who takes from a channel that is bound to it; beside idle workers, with much memory, in a full session.
//
//   death_bench [--quick] [--rounds N] [--part waiter|large|full]
//
// The kinds take turns, one death of each in a round, and so do bare processes, whose death is seen by `waitpid`. Times are from just before
// the kill(). A future that does not throw, or a wrong result, makes the exit status 1; a missed target is printed.
#include <dshm/dshm.hpp>

#include "baselines/mortals.hpp"
#include "support/death_times.hpp"
#include "support/measure.hpp"

#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace {

using namespace std::chrono_literals;
using bench::DeathTimes;
using bench::monotonic_seconds;

struct Options {
    bool quick = false;
    int rounds = 300;
    std::string part;

    bool wants(const char* name) const { return part.empty() || part == name; }
};

Options options_of(int argc, char** argv) {
    Options options;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const char* value = i + 1 < argc ? argv[i + 1] : "";
        if (word == "--quick")
            options.quick = true;
        else if (word == "--rounds")
            options.rounds = std::stoi(value);
        else if (word == "--part")
            options.part = value;
    }
    if (options.quick)
        options.rounds = 2;
    return options;
}

int process_of(dshm::WorkerId id) { return dshm::worker_info(id).os_pid; }

// ------------------------------------------------------------------------------------------------
// From a death until a waiter runs
// ------------------------------------------------------------------------------------------------

/// A task that never ends, once it runs and has touched so many bytes.
class Endless {
public:
    explicit Endless(dshm::WorkerId worker, std::size_t bytes = 0)
        : future_(dshm::spawn_at(worker, [running = running_, bytes]() mutable {
              std::vector<char> touched(bytes, 'x');
              std::atomic_ref(running[0]).store(touched.empty() ? 1 : touched.back());
              for (;;)
                  pause();
              return 0;
          })) {
        while (std::atomic_ref(running_[0]).load() == 0)
            std::this_thread::sleep_for(50us);
    }
    const dshm::Future<int>& future() const { return future_; }

private:
    dshm::SharedArray<int> running_{1};
    dshm::Future<int> future_;
};

/// The time at which `wait` threw what a death makes it throw.
template <class Wait>
double time_of_throw(Wait&& wait) {
    try {
        wait();
    } catch (const dshm::ProcessExitedException&) {
        return monotonic_seconds();
    }
    throw bench::WrongResult("a wait for a dead worker's task has ended well");
}

class Waiters {
public:
    explicit Waiters(bench::Executioner& executioner) : executioner_(&executioner) {}

    /// The master sleeps in `fetch` when the worker is killed.
    double asleep(std::size_t bytes = 0) {
        const dshm::WorkerId victim = dshm::addprocs(1)[0];
        const Endless task(victim, bytes);
        executioner_->kill_soon(process_of(victim), 5ms);
        return time_of_throw([&] { dshm::fetch(task.future()); }) - executioner_->time_of_kill();
    }
    /// It kills and fetches at once, so it spins for a while.
    double at_once() {
        const dshm::WorkerId victim = dshm::addprocs(1)[0];
        const Endless task(victim);
        const double start = bench::kill_now(process_of(victim));
        return time_of_throw([&] { dshm::fetch(task.future()); }) - start;
    }
    /// It asks again and again.
    double polling() {
        const dshm::WorkerId victim = dshm::addprocs(1)[0];
        const Endless task(victim);
        const double start = bench::kill_now(process_of(victim));
        while (!task.future().isready()) {
        }
        return time_of_throw([&] { dshm::fetch(task.future()); }) - start;
    }
    /// Another worker sleeps in `fetch`.
    double in_worker(dshm::WorkerId waiter) {
        const dshm::WorkerId victim = dshm::addprocs(1)[0];
        const Endless task(victim);
        const auto thrown = dshm::spawn_at(waiter, [future = task.future()] {
            return time_of_throw([&] { dshm::fetch(future); });
        });
        executioner_->kill_soon(process_of(victim), 5ms);
        return dshm::fetch(thrown) - executioner_->time_of_kill();
    }
    /// The master sleeps in `take` of a channel that is bound to the worker.
    double taker() {
        const dshm::WorkerId victim = dshm::addprocs(1)[0];
        const dshm::RemoteChannel<int> channel(4);
        channel.bind(victim);
        executioner_->kill_soon(process_of(victim), 5ms);
        return time_of_throw([&] { channel.take(); }) - executioner_->time_of_kill();
    }

private:
    bench::Executioner* executioner_;
};

/// One death of each kind in a round.
bool measure_waiters(const Options& options, bench::Executioner& executioner, int idle) {
    constexpr double median = 1e-3, longest = 50e-3;
    Waiters waiters(executioner);
    const auto others = dshm::addprocs(idle);
    DeathTimes bare("bare process, waitpid asleep"), asleep("fetch, asleep", median, longest),
        at_once("fetch at once after the kill", median, longest),
        polling("isready() again and again", median, longest),
        in_worker("fetch in another worker, asleep", median, longest),
        taker("take, channel bound to it, asleep", median, longest);
    for (int round = 0; round < options.rounds; ++round) {
        bare.add(bench::bare_death(executioner, 0));
        asleep.add(waiters.asleep());
        at_once.add(waiters.at_once());
        polling.add(waiters.polling());
        in_worker.add(waiters.in_worker(others[0]));
        taker.add(waiters.taker());
    }
    dshm::rmprocs(others);
    std::printf("\nfrom a death until a waiter runs, %d idle workers beside\n", idle);
    bool good = bare.print();
    for (const DeathTimes* times : {&asleep, &at_once, &polling, &in_worker, &taker})
        good = times->print() && good;
    return good;
}

/// What the kernel takes to take a large process apart comes before anybody can know.
void measure_large(const Options& options, bench::Executioner& executioner) {
    const std::size_t bytes = std::size_t{options.quick ? 1u : 256u} << 20;
    Waiters waiters(executioner);
    DeathTimes bare("bare process, waitpid asleep"), asleep("fetch, asleep");
    for (int round = 0; round < (options.rounds + 4) / 5; ++round) {
        bare.add(bench::bare_death(executioner, bytes));
        asleep.add(waiters.asleep(bytes));
    }
    std::printf("\nthe same of one that has touched %zu MiB\n", bytes >> 20);
    bare.print();
    asleep.print();
}

// ------------------------------------------------------------------------------------------------
// Recovery in a full session
// ------------------------------------------------------------------------------------------------

/// Seconds for which the launcher has run so far.
double launcher_seconds(dshm::WorkerId some_worker) {
    std::ifstream stat("/proc/" + std::to_string(process_of(some_worker)) + "/stat");
    std::string text;
    std::getline(stat, text);
    std::istringstream fields(text.substr(text.rfind(')') + 4));
    int launcher = 0;
    fields >> launcher;
    std::ifstream times("/proc/" + std::to_string(launcher) + "/schedstat");
    double nanoseconds = 0;
    times >> nanoseconds;
    return nanoseconds * 1e-9;
}

/// One death: what the launcher computes over it, and until the waiter runs.
void time_a_death(Waiters& waiters, dshm::WorkerId other, DeathTimes& launcher,
                  DeathTimes& waiter) {
    const double before = launcher_seconds(other);
    waiter.add(waiters.asleep());
    dshm::rmprocs(dshm::addprocs(1)); // it is through with the death
    launcher.add(launcher_seconds(other) - before);
}

/// Tasks that have run and keep their results in blocks, and small blocks of nobody in particular.
class Crowd {
public:
    Crowd(dshm::WorkerId worker, int tasks, int blocks) {
        const auto give_back = [](const std::vector<int>& numbers) { return numbers; };
        for (int i = 0; i < tasks; ++i)
            futures_.push_back(dshm::spawn_at(worker, give_back, std::vector<int>(50, i)));
        dshm::wait_all(futures_);
        for (int i = 0; i < blocks; ++i)
            blocks_.push_back(allocator_.allocate(8));
    }
    ~Crowd() {
        for (const auto& block : blocks_)
            allocator_.deallocate(block, 8);
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    void check() const {
        for (int i = 0; const auto& future : futures_)
            bench::require_equal(dshm::fetch(future)[49], i++);
    }

private:
    using Allocator = dshm::Allocator<std::uint64_t>;
    Allocator allocator_;
    std::vector<dshm::Future<std::vector<int>>> futures_;
    std::vector<Allocator::pointer> blocks_;
};

bool measure_full(const Options& options, bench::Executioner& executioner) {
    const int tasks = options.quick ? 100 : 65'000; // of 65,536 that there can be
    const int blocks = options.quick ? 1000 : 1'000'000;
    constexpr double most = 10e-3;
    const dshm::WorkerId other = dshm::addprocs(1)[0];
    Waiters waiters(executioner);
    DeathTimes launcher("launcher's processor time, empty"), waiter("until the waiter runs, empty"),
        launcher_full("launcher's processor time, full", most),
        waiter_full("until the waiter runs, full", most);
    for (int round = 0; round < options.rounds; ++round)
        time_a_death(waiters, other, launcher, waiter);
    Crowd crowd(other, tasks, blocks);
    for (int round = 0; round < options.rounds; ++round)
        time_a_death(waiters, other, launcher_full, waiter_full);
    crowd.check();
    std::printf("\none death with %d task descriptors and %d blocks in use\n", tasks,
                tasks + blocks);
    launcher.print();
    waiter.print();
    const bool good = launcher_full.print();
    return waiter_full.print() && good;
}

bool measure(const Options& options, bench::Executioner& executioner) {
    bool good = true;
    if (options.wants("waiter"))
        for (const int idle : {1, 4, 16, 64})
            good = measure_waiters(options, executioner, idle) && good;
    if (options.wants("large"))
        measure_large(options, executioner);
    if (options.wants("full"))
        good = measure_full(options, executioner) && good;
    return good;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    try {
        bench::Executioner executioner;
        if (!measure(options_of(argc, argv), executioner))
            std::puts("\nsome targets were missed");
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "death_bench: %s\n", error.what());
        return 1;
    }
}
