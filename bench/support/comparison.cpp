// See comparison.hpp.
#include "support/comparison.hpp"

#include <cstring>
#include <iomanip>
#include <iostream>
#include <thread>

namespace bench {

namespace {

/// 0.0000123 becomes "12.3 us".
std::string readable_time(double seconds) {
    const char* unit = "s ";
    for (const char* smaller : {"ms", "us", "ns"}) {
        if (seconds >= 1)
            break;
        seconds *= 1000;
        unit = smaller;
    }
    std::ostringstream text;
    text << std::setprecision(3) << std::showpoint << seconds << ' ' << unit;
    return text.str();
}

std::string readable_ratio(double ratio) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(ratio < 10 ? 3 : 1) << ratio;
    return text.str();
}

const char* verdict(bool reached) { return reached ? "reached" : "MISSED"; }

/// Prints the comparison behind each run; Google Benchmark's own table has no room for one.
class Reporter : public benchmark::BenchmarkReporter {
public:
    explicit Reporter(const std::deque<Comparison>& comparisons) : comparisons_(comparisons) {}

    bool ReportContext(const Context&) override {
        std::cout << "medians [quartiles]; speed = time of the peer / time of libdshm, in pairs; "
                  << std::thread::hardware_concurrency() << " processors\n";
        return true;
    }

    void ReportRuns(const std::vector<Run>& runs) override {
        for (const Run& run : runs)
            if (run.run_type == Run::RT_Iteration)
                report(run);
    }

private:
    void report(const Run& run) {
        for (const Comparison& comparison : comparisons_) {
            if (comparison.name() != run.run_name.function_name)
                continue;
            if (run.error_occurred)
                std::cout << '\n' << comparison.name() << ": FAILED: " << run.error_message << '\n';
            else
                comparison.print(std::cout);
            std::cout.flush();
        }
    }

    const std::deque<Comparison>& comparisons_;
};

} // namespace

Comparison& Comparison::subject(std::string name, Turn turn, double target) {
    contenders_.insert(contenders_.begin(), {std::move(name), std::move(turn), target});
    return *this;
}

Comparison& Comparison::peer(std::string name, Turn turn, double target) {
    contenders_.push_back({std::move(name), std::move(turn), target});
    return *this;
}

Comparison& Comparison::rounds(int count) {
    rounds_ = count;
    return *this;
}

Comparison& Comparison::settle(std::chrono::microseconds pause) {
    pause_ = pause;
    return *this;
}

Comparison& Comparison::counted_in(std::string things) {
    things_ = std::move(things);
    return *this;
}

double Comparison::take_turn(Contender& contender) {
    std::this_thread::sleep_for(pause_);
    try {
        return contender.turn();
    } catch (const std::exception& error) {
        throw WrongResult(contender.name + ": " + error.what());
    }
}

void Comparison::play_round(std::size_t number) {
    const std::size_t count = contenders_.size();
    for (std::size_t i = 0; i < count; ++i) {
        Contender& contender = contenders_[number % 2 == 0 ? i : count - 1 - i];
        contender.seconds.push_back(take_turn(contender));
    }
}

bool Comparison::run(benchmark::State& state) {
    try {
        for (Contender& contender : contenders_) {
            take_turn(contender); // pages, caches, threads: not counted, but checked
            contender.seconds.clear();
        }
        for (auto _ : state) {
            play_round(contenders_.front().seconds.size());
            state.SetIterationTime(contenders_.front().seconds.back());
        }
    } catch (const std::exception& error) {
        state.SkipWithError(error.what());
        return false;
    }
    publish(state);
    return true;
}

Spread Comparison::speed_against(const Contender& peer) const {
    std::vector<double> ratios;
    for (std::size_t i = 0; i < peer.seconds.size(); ++i)
        ratios.push_back(peer.seconds[i] / contenders_.front().seconds[i]);
    return spread_of(ratios);
}

void Comparison::publish(benchmark::State& state) const {
    const auto put = [&state](const std::string& name, const Spread& spread, double wanted) {
        state.counters[name] = spread.median;
        state.counters[name + ", first quartile"] = spread.low;
        state.counters[name + ", third quartile"] = spread.high;
        if (wanted > 0)
            state.counters[name + ", wanted"] = wanted;
    };
    for (const Contender& contender : contenders_) {
        const bool subject = &contender == &contenders_.front();
        put(contender.name + " seconds", spread_of(contender.seconds),
            subject ? contender.target : 0);
        if (!subject)
            put("speed against " + contender.name, speed_against(contender), contender.target);
    }
}

void Comparison::print_times(std::ostream& out, const Contender& contender) const {
    const Spread seconds = spread_of(contender.seconds);
    out << "    " << std::left << std::setw(28) << contender.name << std::right << std::setw(8)
        << readable_time(seconds.median) << " [" << readable_time(seconds.low) << " .. "
        << readable_time(seconds.high) << ']';
    if (!things_.empty())
        out << "  " << readable_ratio(1e-6 / seconds.median) << " M " << things_ << "/s";
}

void Comparison::print(std::ostream& out) const {
    const Contender& subject = contenders_.front();
    out << '\n' << name_ << " (" << subject.seconds.size() << " rounds)\n";
    for (const Contender& contender : contenders_) {
        print_times(out, contender);
        if (&contender != &subject) {
            const Spread speed = speed_against(contender);
            out << "  speed " << readable_ratio(speed.median) << " [" << readable_ratio(speed.low)
                << " .. " << readable_ratio(speed.high) << ']';
            if (contender.target > 0)
                out << "  wanted " << readable_ratio(contender.target) << ": "
                    << verdict(speed.median >= contender.target);
        } else if (contender.target > 0) {
            out << "  wanted " << readable_time(contender.target) << ": "
                << verdict(spread_of(contender.seconds).median <= contender.target);
        }
        out << '\n';
    }
}

Program::Program(int& argc, char** argv) {
    benchmark::Initialize(&argc, argv);
    int kept = 0;
    for (int i = 0; i < argc; ++i) {
        if (std::strcmp(argv[i], "--quick") == 0)
            quick_ = true;
        else if (std::strcmp(argv[i], "--workers") == 0 && i + 1 < argc)
            workers_ = std::stoi(argv[++i]);
        else
            argv[kept++] = argv[i];
    }
    argc = kept;
}

Batch Program::batch(int calls) const {
    using std::chrono::milliseconds;
    return quick_ ? Batch{10, milliseconds(0)} : Batch{calls, milliseconds(100)};
}

Comparison& Program::compare(std::string name) {
    Comparison& comparison = comparisons_.emplace_back(std::move(name));
    if (quick_)
        comparison.settle(std::chrono::microseconds(500));
    return comparison;
}

int Program::run() {
    bool all_well = true;
    for (Comparison& comparison : comparisons_) {
        benchmark::RegisterBenchmark(comparison.name().c_str(),
                                     [&comparison, &all_well](benchmark::State& state) {
                                         all_well = comparison.run(state) && all_well;
                                     })
            ->UseManualTime()
            ->Iterations(quick_ ? 2 : comparison.rounds());
    }
    Reporter reporter(comparisons_);
    benchmark::RunSpecifiedBenchmarks(&reporter);
    return all_well ? 0 : 1;
}

} // namespace bench
