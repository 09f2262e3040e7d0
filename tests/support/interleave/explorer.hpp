// Runs a scenario of a few threads in every way that the memory model of C++20 allows, as graph.hpp understands it.
//
//   struct Scenario {                     made anew for each execution; its constructor prepares what the threads share
//       static constexpr unsigned threads = 2;
//       void thread(unsigned me);         talks by interleave::Word, Data and Sleep (word.hpp)
//       void at_end();                    after all threads
//   };
//   const Report report = explore<Scenario>();
//
// Threads are fibers. Each operation on a Word is a choice: who goes on, which message a read reads, where in the order of its
// location a write stands. Executions are repeated from the start with other choices until there are none left. Two ways to the
// same graph are followed once (64-bit fingerprints tell them apart; that two of a million agree by chance has a probability of
// 10^-7). A store, or a fence, is performed as soon as its thread comes to it: later reads may still read older messages and
// later stores may still be placed before it, so no graph is lost.
//
// An execution fails by check(), by a race between accesses to Data, by a sleep that nobody ends, or by an exception. Sleeps
// have no time limit here. Fibers of executions that were given up are dropped without unwinding: a scenario's threads must not
// own memory across operations.
//
// Test support: one exploration at a time, in one thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace interleave {

enum class Op : std::uint8_t {
    load,
    store,
    exchange,
    compare_exchange,
    add,
    subtract,
    set_bits,
    keep_bits,
    fence,
    sleep, // a futex: reads under the kernel's lock
    wake,
};

// Where in the source an operation stands, and which of its two orders is meant.
struct Site {
    const char* file = "";
    unsigned line = 0;
    const char* function = "";
    Op op = Op::load;
    bool failure = false; // of a compare-and-swap: the order of its failure
    std::memory_order order = std::memory_order_relaxed;

    bool same_place(const Site& other) const;
    std::string name() const; // function and operation
};

struct Access {
    Op op;
    void* address = nullptr;
    unsigned bytes = 0;
    std::uint64_t operand = 0, expected = 0;
    std::memory_order order = std::memory_order_relaxed, failure = std::memory_order_relaxed;
    const char* file = "";
    unsigned line = 0;
    const char* function = "";
};
struct Result {
    std::uint64_t value = 0;
    bool swapped = false;
};

// ---- called by the threads of a scenario ---------------------------------------------------------

// False while a scenario is made and at its end: words are plain memory then.
bool exploring();
Result perform(const Access& access);
void access_data(const void* address, bool writes);
// The execution is wrong.
void check(bool holds, const char* sentence);
// This execution shows nothing that another one does not: a loop that has read the same again.
void assume(bool holds);
// For Report::observed.
void observe(const std::string& what);

// ---- called by tests -----------------------------------------------------------------------------

struct Options {
    std::uint64_t most_graphs = 20'000'000;
    const Site* weakened = nullptr; // a place, with the order that it is to have instead
};

struct Report {
    bool complete = false; // nothing is left to explore
    std::string
        failure; // of the first execution that failed, with its operations; exploration ends there
    std::uint64_t executions = 0, graphs = 0, assumed = 0;
    std::set<std::string> observed;
    std::vector<Site> sites; // places with orders, in the order of their first use
};

// A scenario, without its type.
struct Plan {
    unsigned threads;
    std::function<std::shared_ptr<void>()> make;
    std::function<void(void*, unsigned)> thread;
    std::function<void(void*)> at_end;
};
Report explore(const Plan& plan, const Options& options);

template <class Scenario>
Plan plan_of() {
    return {Scenario::threads,
            // At the same address each time, so that locations can be told by their addresses.
            [] {
                alignas(Scenario) static std::byte place[sizeof(Scenario)];
                std::fill(std::begin(place), std::end(place), std::byte{});
                return std::shared_ptr<void>(new (place) Scenario, [](void* it) {
                    static_cast<Scenario*>(it)->~Scenario();
                });
            },
            [](void* it, unsigned me) { static_cast<Scenario*>(it)->thread(me); },
            [](void* it) { static_cast<Scenario*>(it)->at_end(); }};
}
template <class Scenario>
Report explore(const Options& options = {}) {
    return explore(plan_of<Scenario>(), options);
}

// The orders that are a step or more weaker than that of a place, strongest first.
std::vector<std::memory_order> weaker_orders(const Site& site);
const char* name_of(std::memory_order order);

} // namespace interleave
