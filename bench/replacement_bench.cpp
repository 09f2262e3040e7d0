// Workers that are replaced: how soon the next one takes tasks, how soon a task that was begun anew has its result, and
// what is left of the throughput when a worker is killed every millisecond.
//
//   replacement_bench [--quick] [--rounds N] [--workers N] [--part replacement|throughput] [--period MICROSECONDS]
//
// Throughput with deaths and without takes turns, and so do bare processes that are forked again by a process of their own,
// and keep nothing of what they had begun: what deaths cost at least. Every result is checked; a wrong one makes the exit status 1, a missed target is printed.
#include <dshm/dshm.hpp>

#include "baselines/mortals.hpp"
#include "support/death_times.hpp"
#include "support/measure.hpp"

#include <signal.h>
#include <unistd.h>

#include <cstdio>
#include <random>

namespace {

using namespace std::chrono_literals;
using bench::DeathTimes;
using bench::monotonic_seconds;

struct Options {
    bool quick = false;
    int rounds = 200;
    int workers = 2;
    std::chrono::microseconds period = 1ms;
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
        else if (word == "--workers")
            options.workers = std::stoi(value);
        else if (word == "--period")
            options.period = std::chrono::microseconds(std::stoi(value));
        else if (word == "--part")
            options.part = value;
    }
    if (options.quick)
        options.rounds = 2;
    return options;
}

// ------------------------------------------------------------------------------------------------
// The next one
// ------------------------------------------------------------------------------------------------

/// Kills an idle worker: seconds until the one in its place has run a task.
double until_replaced(dshm::WorkerId& worker) {
    const double start = bench::kill_now(dshm::worker_info(worker).os_pid);
    dshm::WorkerId next = 0;
    // A worker is there for others once it takes tasks.
    while ((next = dshm::worker_info(worker).replaced_by) == 0 ||
           dshm::worker_info(next).state == dshm::WorkerState::starting)
        std::this_thread::sleep_for(20us);
    const double ran = dshm::fetch_from(next, monotonic_seconds);
    worker = next;
    return ran - start;
}

/// Kills a worker in the middle of a task that it alone may run: seconds until the result of the second
/// attempt is there.
double until_begun_anew(dshm::WorkerId& worker) {
    dshm::SharedArray<int> begun(1);
    const auto result = dshm::spawn_at(worker, [begun]() mutable {
        if (std::atomic_ref(begun[0]).fetch_add(1) == 0)
            for (;;)
                pause();
        return dshm::myid();
    });
    while (std::atomic_ref(begun[0]).load() == 0)
        std::this_thread::sleep_for(50us);
    const double start = bench::kill_now(dshm::worker_info(worker).os_pid);
    const dshm::WorkerId next = dshm::fetch(result);
    const double seconds = monotonic_seconds() - start;
    bench::require_equal(next, dshm::worker_info(worker).replaced_by);
    worker = next;
    return seconds;
}

bool measure_replacement(const Options& options) {
    constexpr double wanted = 20e-3;
    dshm::WorkerId forked = dshm::addprocs(1, {.start = dshm::Start::fork})[0];
    dshm::WorkerId fresh = dshm::addprocs(1, {.start = dshm::Start::exec})[0];
    DeathTimes fork_ready("Start::fork, until it has run a task", wanted),
        fork_result("Start::fork, result of the task begun anew", wanted),
        exec_ready("Start::exec, until it has run a task", wanted),
        exec_result("Start::exec, result of the task begun anew", wanted);
    for (int round = 0; round < options.rounds; ++round) {
        fork_ready.add(until_replaced(forked));
        fork_result.add(until_begun_anew(forked));
        exec_ready.add(until_replaced(fresh));
        exec_result.add(until_begun_anew(fresh));
    }
    dshm::rmprocs({forked, fresh});
    std::printf("\nfrom a death to the worker in its place\n");
    bool good = true;
    for (const DeathTimes* times : {&fork_ready, &fork_result, &exec_ready, &exec_result})
        good = times->print() && good;
    return good;
}

// ------------------------------------------------------------------------------------------------
// A death every so often
// ------------------------------------------------------------------------------------------------

/// Kills one of `processes()` every so often while it lives.
class Reaper {
public:
    Reaper(std::chrono::microseconds period, std::function<pid_t(unsigned)> victim)
        : thread_([this, period, victim = std::move(victim)] {
              std::minstd_rand random;
              for (auto next = bench::Clock::now() + period; !stop_.load(); next += period) {
                  std::this_thread::sleep_until(next);
                  const pid_t process = victim(static_cast<unsigned>(random()));
                  if (process > 0 && kill(process, SIGKILL) == 0)
                      ++kills_;
              }
          }) {}
    ~Reaper() {
        if (thread_.joinable())
            stop();
    }
    Reaper(const Reaper&) = delete;
    Reaper& operator=(const Reaper&) = delete;

    int stop() {
        stop_.store(true);
        thread_.join();
        return kills_;
    }

private:
    std::atomic<bool> stop_{false};
    int kills_ = 0;
    std::thread thread_; // the last: it uses the others
};

pid_t some_worker(unsigned number) {
    const auto ids = dshm::workers();
    const dshm::WorkerId id = ids[number % ids.size()];
    return id == 1 ? 0 : dshm::worker_info(id).os_pid;
}

std::uint64_t scramble(std::uint64_t value, long steps) {
    for (long i = 0; i < steps; ++i) {
        value ^= value << 13;
        value ^= value >> 7;
        value ^= value << 17;
    }
    return value;
}

long steps_in(std::chrono::microseconds time) {
    constexpr long probe = 200'000;
    double best = 1;
    for (int i = 0; i < 20; ++i) {
        std::uint64_t value = 0;
        best = std::min(best, bench::seconds_of([&] { value = scramble(i + 1, probe); }));
        bench::require(value != 0, "the work is not what it should be");
    }
    return static_cast<long>(probe * 1e-6 * static_cast<double>(time.count()) / best);
}

/// Some seconds of short tasks, with what each of them has to give.
class Work {
public:
    Work(int tasks, std::chrono::microseconds each) : steps_(steps_in(each)) {
        for (int i = 0; i < tasks; ++i)
            expected_.push_back(scramble(static_cast<std::uint64_t>(i) + 1, steps_));
    }

    long steps() const { return steps_; }
    std::size_t tasks() const { return expected_.size(); }
    /// Tasks that had ended three workers and were sent again.
    int given_up() const { return given_up_; }

    /// Tasks a second.
    double run() {
        const auto start = bench::Clock::now();
        std::vector<dshm::Future<std::uint64_t>> futures;
        for (std::size_t i = 0; i < tasks(); ++i)
            futures.push_back(send(i));
        for (std::size_t i = 0; i < tasks(); ++i)
            bench::require_equal(result_of(futures[i], i), expected_[i]);
        return static_cast<double>(tasks()) / bench::seconds_since(start);
    }

private:
    dshm::Future<std::uint64_t> send(std::size_t number) const {
        return dshm::spawn(scramble, std::uint64_t{number} + 1, steps_);
    }
    std::uint64_t result_of(dshm::Future<std::uint64_t>& future, std::size_t number) {
        for (;;) {
            try {
                return dshm::fetch(future);
            } catch (const dshm::ProcessExitedException&) {
                ++given_up_;
                future = send(number);
            }
        }
    }

    long steps_;
    std::vector<std::uint64_t> expected_;
    int given_up_ = 0;
};

/// Rates without deaths and with them, pair by pair.
struct Rates {
    std::vector<double> calm, deadly, ratios, kills_per_second;

    void add(double without, double with, double kills) {
        calm.push_back(without);
        deadly.push_back(with);
        ratios.push_back(with / without);
        kills_per_second.push_back(kills);
    }
    bool print(const char* name, double wanted) const {
        const bench::Spread ratio = bench::spread_of(ratios);
        std::printf("  %-16s %7.0f/s, with %4.0f deaths a second %7.0f/s: %.3f [%.3f .. %.3f]%s\n",
                    name, bench::spread_of(calm).median, bench::spread_of(kills_per_second).median,
                    bench::spread_of(deadly).median, ratio.median, ratio.low, ratio.high,
                    wanted == 0              ? ""
                    : ratio.median >= wanted ? "  reached"
                                             : "  MISSED");
        std::fflush(stdout);
        return ratio.median >= wanted;
    }
};

void play_libdshm(Work& work, std::chrono::microseconds period, Rates& rates) {
    const double calm = work.run();
    Reaper reaper(period, some_worker);
    double deadly = 0;
    const double seconds = bench::seconds_of([&] { deadly = work.run(); });
    rates.add(calm, deadly, reaper.stop() / seconds);
}

double rate_of(const bench::Mortals& mortals, std::chrono::duration<double> time) {
    const auto start = bench::Clock::now();
    const std::uint64_t before = mortals.done();
    std::this_thread::sleep_for(time);
    return static_cast<double>(mortals.done() - before) / bench::seconds_since(start);
}

void play_bare(bench::Mortals& mortals, int members, std::chrono::microseconds period,
               std::chrono::duration<double> time, Rates& rates) {
    mortals.set_running(true);
    std::this_thread::sleep_for(bench::Mortals::most_nap + 5ms);
    const double calm = rate_of(mortals, time);
    Reaper reaper(period, [&mortals, members](unsigned number) {
        return mortals.process(static_cast<int>(number % static_cast<unsigned>(members)));
    });
    double deadly = 0;
    const double seconds = bench::seconds_of([&] { deadly = rate_of(mortals, time); });
    rates.add(calm, deadly, reaper.stop() / seconds);
    mortals.set_running(false);
}

bool measure_throughput(const Options& options, int members, std::chrono::microseconds each) {
    const std::chrono::duration<double> time(options.quick ? 0.02 : 0.5);
    const int tasks = static_cast<int>(2 * time / each);
    Work work(tasks, each);
    bench::Mortals mortals(members, [steps = work.steps()] {
        volatile std::uint64_t result = scramble(1, steps);
        static_cast<void>(result);
    });
    dshm::addprocs(members);
    Rates libdshm, bare;
    for (int round = 0; round < (options.rounds + 9) / 10; ++round) {
        play_libdshm(work, options.period, libdshm);
        play_bare(mortals, members, options.period, time, bare);
    }
    dshm::rmprocs(dshm::workers());
    std::printf("\n%d workers, tasks of %d us, a kill every %d us\n", members,
                static_cast<int>(each.count()), static_cast<int>(options.period.count()));
    const bool good = libdshm.print("libdshm", 0.5);
    bare.print("bare processes", 0);
    std::printf("  %d tasks had ended three workers and were sent again\n", work.given_up());
    return good;
}

bool measure(const Options& options) {
    bool good = true;
    if (options.wants("throughput"))
        for (const auto each : {100us, 10us})
            for (const int members : {options.workers, 2 * options.workers})
                good = measure_throughput(options, members, each) && good;
    if (options.wants("replacement"))
        good = measure_replacement(options) && good;
    return good;
}

} // namespace

int main(int argc, char** argv) {
    dshm::SessionOptions session_options;
    session_options.on_worker_death = dshm::OnWorkerDeath::restart;
    dshm::Session session(argc, argv, session_options);
    try {
        if (!measure(options_of(argc, argv)))
            std::puts("\nsome targets were missed");
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "replacement_bench: %s\n", error.what());
        return 1;
    }
}
