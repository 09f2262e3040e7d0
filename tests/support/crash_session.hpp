// What the tests share that kill the processes of real sessions at their touches of shared words.
//
// A worker that is to die while it starts takes its order as it is forked; others are given theirs by
// CrashSites::order() when they run, or arm themselves in a task.
#pragma once

#include <pthread.h>

#include "crash_sites.hpp"
#include "session_case.hpp"

namespace dshm::test {

// In memory that master, launcher and workers share: what the next worker that is forked is to die of.
struct Orders {
    std::atomic<bool> there{false};
    Fate of_next_fork;
    static Orders& all() {
        static Orders* const orders = ::new (mmap(nullptr, sizeof(Orders), PROT_READ | PROT_WRITE,
                                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Orders;
        return *orders;
    }
    static void give_next_fork(const Fate& fate) {
        all().of_next_fork = fate;
        all().there.store(true);
    }
};

// In one process and what it forks: what a child, a grandchild, ... is to die of, which says who it is.
struct Heritage {
    int generations = 0;
    Fate fate;
    std::atomic<pid_t>* heir = nullptr;
    static Heritage& own() {
        static Heritage own;
        return own;
    }
};

inline void obey() {
    CrashSites::disarm(); // it was the parent's
    if (Orders::all().there.exchange(false))
        CrashSites::arm(Orders::all().of_next_fork);
    Heritage& heritage = Heritage::own();
    if (heritage.generations == 0 || --heritage.generations != 0)
        return;
    *heritage.heir = getpid();
    CrashSites::arm(heritage.fate);
}

// At the end of a program of sessions: victims have died at nearly all of the places that some have passed.
// What is passed once in hundreds of runs, when two processes meet, may be missed.
inline void check_places_of_sessions(std::size_t least) {
    const CrashSites& sites = CrashSites::table();
    WARN(sites.deaths() << " deaths at " << sites.died_at() << " of " << sites.passed()
                        << " places; missed (for addr2line):" << CrashSites::text(sites.missed()));
    CHECK(sites.passed() > least);
    CHECK(sites.died_at() * 100 >= sites.passed() * 90);
}

// Before the session is made, so that all of its processes have them.
inline void prepare() {
    CrashSites::table();
    Orders::all();
    static const int registered = pthread_atfork(nullptr, nullptr, obey);
    static_cast<void>(registered);
}

// Touches 1, 2, ... that a victim dies at; some of them in the ordinary suite.
inline std::uint64_t after(std::uint64_t touch, std::uint64_t part = 100) {
    return touch + (full_run() ? 1 : 1 + touch / part);
}

// A scene of a session takes two minutes at most in the ordinary suite, and some more in the nightly one.
inline void give_it_time() { alarm(full_run() ? 400 : 2 * case_seconds); }

inline void await_workers(int count) {
    until([count] { return nworkers() == count && static_cast<int>(workers().size()) == count; });
}

// A worker with an order does something, and then sleeps since there is no more to do; or it has ended.
inline void lull(WorkerId worker) {
    try {
        fetch_from(worker, [] {});
    } catch (const ProcessExitedException&) {
        return;
    }
    runtime::Process& me = runtime::current();
    until([&] {
        const auto slot = me.processes().slot_of(worker);
        return !slot || has_ended(worker) ||
               me.header().parked.test(*slot, std::memory_order_seq_cst);
    });
}

// What a session has when nothing is under way.
struct Inside {
    std::size_t tasks = 0, blocks = 0, objects = 0;
    static Inside now() {
        runtime::Process& me = runtime::current();
        me.holdings().release_pins();
        Inside inside;
        for (std::uint32_t index = 0; index < me.tasks().top(); ++index)
            inside.tasks += runtime::TaskState::from_bits(
                                me.tasks().record(index).state.load(std::memory_order_acquire))
                                .phase != runtime::TaskPhase::free;
        inside.blocks = me.heap().statistics().blocks_in_use;
        inside.objects = me.objects().live_count();
        return inside;
    }
    friend bool operator==(const Inside&, const Inside&) = default;
};

// The launcher and the other workers let go of what ended tasks had, when they come to it: waits for that.
inline void await_inside(const Inside& before) {
    until([&] {
        everywhere([] { runtime::current().holdings().release_pins(); });
        return Inside::now() == before;
    });
}

} // namespace dshm::test
