// Work of every kind that checks itself, while processes of the session are killed: each piece makes futures, waits
// for all of them, and writes what it finds into a Ledger.
//
// A future gives the right value or ProcessExitedException; anything else is a breach. What a task does is counted by
// an atomic increment in a SharedArray: at most once, exactly once where its future gave a value, and more
// often only where the call allows repeating. To be called by the master of a session; who dies half-way
// loses what it did, and nothing of it may be left behind.
#pragma once

#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "dshm/dshm.hpp"
#include "ledger.hpp"

namespace dshm::test {

// How often each task has run.
class Cells {
public:
    explicit Cells(std::size_t size) : counts_(size) {}
    void mark(std::size_t i) const {
        // relaxed: read when the task, or its process, has ended.
        std::atomic_ref(counts_[i]).fetch_add(1, std::memory_order_relaxed);
    }
    int count(std::size_t i) const {
        return std::atomic_ref(counts_[i]).load(std::memory_order_relaxed);
    }
    std::size_t size() const { return counts_.size(); }

private:
    SharedArray<int> counts_;
};

// A call that gave its value ran exactly once; one that failed at most once.
void check_once(Ledger& ledger, const Cells& cells, std::size_t i, bool completed);

// The pieces of work. Each of them may be called at any time, any number of times.
class CheckedWork {
public:
    CheckedWork(Ledger& ledger, unsigned seed, bool deaths_allowed)
        : ledger_(&ledger), random_(seed), deaths_allowed_(deaths_allowed) {}

    static constexpr unsigned kinds = 18;

    // One piece, of a kind that chance decides.
    void step() { step(static_cast<unsigned>(random_() % kinds)); }
    void step(unsigned kind);

    void small_calls();
    void block_calls();
    void tree();
    void promises();
    void chains();
    void cancelled();
    void any_of_many();
    void channels();
    void loops();
    void loops_with_retries();
    void maps();
    void maps_with_handlers();
    void pools();
    void arrays();
    void array_operations();
    void everywhere_once();
    void shared_values();
    void synced();

private:
    // A death, or several, or a breach.
    void judge(const std::exception_ptr& failure);
    // True if `body` came to its end, false if a process that it needed has ended.
    template <class Body>
    bool survives(Body&& body) {
        try {
            body();
            ++ledger_->values;
            return true;
        } catch (...) {
            judge(std::current_exception());
            return false;
        }
    }
    template <class T>
    void expect(const T& value, const T& expected, const char* what) {
        if (!(value == expected))
            ledger_->breach(ledger_->corrupt, what);
    }
    template <class T>
    bool gives(const Future<T>& future, const T& expected) {
        return survives([&] { expect(future.get(), expected, "a wrong value of a future"); });
    }
    template <class T>
    void exchange(const RemoteChannel<T>& channel, bool rendezvous);
    std::size_t below(std::size_t bound) { return random_() % bound; }
    // Any process, one that has just ended included.
    WorkerId somebody() {
        const std::vector<WorkerId> ids = procs();
        return ids[below(ids.size())];
    }

    // A worker; 1 when there is none.
    WorkerId some_worker() {
        const std::vector<WorkerId> ids = workers();
        return ids[below(ids.size())];
    }

    Ledger* ledger_;
    std::minstd_rand random_;
    bool deaths_allowed_;
};

} // namespace dshm::test
