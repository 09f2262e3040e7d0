// What is counted while processes are killed at random: kills by their kind, what became of every future, and every
// breach of a promise. All of it must be zero but the first two lines of the summary.
//
// It lies in memory that the test shares with the sessions it forks, so that it outlives them, and every process
// of a session may write to it. Each process that dies half-way has counted what it had done.
#pragma once

#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <new>
#include <string>
#include <string_view>

namespace dshm::test {

// How a process is ended, or not ended.
enum class Way : unsigned {
    kill,       // SIGKILL
    segv,       // SIGSEGV from outside
    abrt,       // SIGABRT from outside
    stopped,    // SIGKILL while it is stopped
    task_abort, // std::abort in a task
    task_exit,  // exit in a task
    task__exit, // _exit in a task
    task_fault, // a write to nowhere in a task
    starting,   // SIGKILL before it takes tasks
    number
};

inline constexpr std::array<const char*, static_cast<unsigned>(Way::number)> way_names = {
    "SIGKILL",    "SIGSEGV", "SIGABRT", "SIGKILL while stopped",
    "abort",      "exit",    "_exit",   "segmentation fault",
    "in start-up"};

struct Ledger {
    using Number = std::atomic<long>;

    std::array<Number, static_cast<unsigned>(Way::number)> kills{};
    Number removed{0}; // by rmprocs
    Number stops{0};
    Number progress{0};    // a step for the watchdog
    Number values{0};      // futures that gave their value
    Number deaths_seen{0}; // futures that threw ProcessExitedException

    Number hangs{0};
    Number lost{0};
    Number doubled{0};
    Number corrupt{0};
    Number leaked{0};
    Number false_deaths{0};

    std::atomic<const char*> doing{"nothing yet"}; // of the master, for a report of a hang

    long killed() const {
        long sum = 0;
        for (const Number& one : kills)
            sum += one;
        return sum;
    }
    bool clean() const { return hangs + lost + doubled + corrupt + leaked + false_deaths == 0; }
    std::string summary() const {
        std::string text = std::to_string(killed()) + " kills (";
        for (unsigned way = 0; way < kills.size(); ++way)
            text += (way == 0 ? "" : ", ") + std::to_string(kills[way]) + " " + way_names[way];
        text += "), " + std::to_string(removed) + " removed, " + std::to_string(stops) +
                " stops; " + std::to_string(values) + " values, " + std::to_string(deaths_seen) +
                " deaths seen; ";
        return text + std::to_string(hangs) + " hangs, " + std::to_string(lost) + " lost, " +
               std::to_string(doubled) + " doubled, " + std::to_string(corrupt) + " corrupt, " +
               std::to_string(leaked) + " leaked, " + std::to_string(false_deaths) +
               " false deaths";
    }
    // Counts a breach and says on standard error which. No allocation that could fail half-way.
    void breach(Number& what, std::string_view text) {
        ++what;
        std::fprintf(stderr, "BREACH (%s): %.*s\n", doing.load(), static_cast<int>(text.size()),
                     text.data());
    }
};

// One for the test and all the sessions that it forks from now on.
inline Ledger& shared_ledger() {
    static Ledger* const ledger = [] {
        void* const memory = mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        return new (memory) Ledger();
    }();
    return *ledger;
}

} // namespace dshm::test
