// One workload done in several ways, side by side.
//
// A comparison has a subject (libdshm) and its peers. Each round gives every contender one turn, in an
// order that alternates from round to round, with a short pause before each so that the threads of the one
// before have stopped spinning. A peer's figure is the median over the rounds of (its time / the subject's
// time in the same round): how many times as fast as the peer the subject is. A machine that is
// slow for a while is slow for both, so the ratio stands where the times do not.
//
// `Program` registers the comparisons as benchmarks of Google Benchmark, one iteration for a round;
// all its options work (`--benchmark_filter=`, `--benchmark_out=`). `--workers N` sets the number of workers, threads and bare
// processes, and `--quick` asks for tiny sizes that only show that everything runs and agrees. A contender that throws, or whose answer is wrong, makes `run`
// return 1. A missed target does not: it is printed.
#pragma once

#include "support/measure.hpp"
#include "support/statistics.hpp"

#include <benchmark/benchmark.h>

#include <chrono>
#include <deque>
#include <string>
#include <vector>

namespace bench {

/// One way of doing the work, and what was measured of it.
struct Contender {
    std::string name;
    Turn turn;
    double target = 0; ///< the subject is to be at least this many times as fast; 0: no target
    std::vector<double> seconds{};
};

class Comparison {
public:
    explicit Comparison(std::string name) : name_(std::move(name)) {}

    /// What is compared with all others; at most `target` seconds are wanted (0: no target).
    Comparison& subject(std::string name, Turn turn, double target = 0);
    /// Another way; the subject is wanted at least `target` times as fast (0: no target).
    Comparison& peer(std::string name, Turn turn, double target = 0);
    Comparison& rounds(int count);
    Comparison& settle(std::chrono::microseconds pause);
    /// Prints rates ("20.3 M tasks/s") beside times.
    Comparison& counted_in(std::string things);

    const std::string& name() const { return name_; }
    int rounds() const { return rounds_; }
    /// The benchmark's body. True if every turn went well.
    bool run(benchmark::State& state);
    void print(std::ostream& out) const;

private:
    double take_turn(Contender& contender);
    void play_round(std::size_t number);
    Spread speed_against(const Contender& peer) const;
    void publish(benchmark::State& state) const;
    void print_times(std::ostream& out, const Contender& contender) const;

    std::string name_;
    std::string things_;
    int rounds_ = 31;
    std::chrono::microseconds pause_{10'000};
    std::vector<Contender> contenders_; // the subject is the first
};

class Program {
public:
    /// Takes `--quick`, `--workers N` and Google Benchmark's own options out of the arguments.
    Program(int& argc, char** argv);

    bool quick() const { return quick_; }
    int workers() const { return workers_; }
    /// A size for a full run, or the small one of a quick run.
    template <class Size>
    Size size(Size full, Size small) const {
        return quick_ ? small : full;
    }
    /// A batch of this many calls after 100 ms of warming up; a tiny one in a quick run.
    Batch batch(int calls) const;
    Comparison& compare(std::string name);
    /// Runs and prints everything; the exit status of the program.
    int run();

private:
    bool quick_ = false;
    int workers_ = 2;
    std::deque<Comparison> comparisons_;
};

} // namespace bench
