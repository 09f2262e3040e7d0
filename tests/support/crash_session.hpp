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
    std::atomic<std::uint64_t> next_fork{0};
    std::atomic<std::uintptr_t> next_place{0};
    static Orders& all() {
        static Orders* const orders = ::new (mmap(nullptr, sizeof(Orders), PROT_READ | PROT_WRITE,
                                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0)) Orders;
        return *orders;
    }
};

inline void obey() {
    if (const std::uint64_t touches = Orders::all().next_fork.exchange(0))
        CrashSites::arm(touches);
    if (const std::uintptr_t place = Orders::all().next_place.exchange(0))
        CrashSites::arm_at(place, 1);
}

// What a victim is to die of: so many touches, or the first at a place.
struct Fate {
    std::uint64_t touches = 0;
    std::uintptr_t place = 0;

    void arm() const {
        if (place != 0)
            CrashSites::arm_at(place, 1);
        else if (touches != 0)
            CrashSites::arm(touches);
    }
    void order(pid_t process) const {
        if (place != 0)
            CrashSites::order_at(process, place);
        else
            CrashSites::order(process, touches);
    }
    void order_next_fork() const {
        Orders::all().next_fork = touches;
        Orders::all().next_place = place;
    }
};

// Victims die at places that some have passed often and nobody has died at.
template <class Kill>
void kill_at_missed_places(Kill&& kill) {
    for (const std::uintptr_t place : CrashSites::table().missed(20))
        kill(Fate{0, place});
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

// A scene of a session takes a minute in the ordinary suite, and some more in the nightly one.
inline void give_it_time() { alarm(full_run() ? 400 : case_seconds); }

inline void await_workers(int count) {
    until([count] { return nworkers() == count && static_cast<int>(workers().size()) == count; });
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
