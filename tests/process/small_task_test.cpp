// The way of a small task, there and back: no allocation and no system call, in either process.
//
// Allocations are counted by a malloc of this program's own in front of the C library's. System calls are
// counted by the kernel's own means, syscall user dispatch: while a thread's selector says so, its
// next system call raises SIGSYS, whose handler notes the number, lets the thread go on undisturbed
// and makes the same call again. Neither sees less than everything, inline system calls included.
//
// A machine with other work takes a processor away now and then, and whoever waits too long for it
// goes to sleep, which is a system call. So not every round trip is asked to be free of them, but
// many in a row.
#include <sys/prctl.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstddef>
#include <cstdint>

#include "sanitizers.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// relaxed throughout: one thread counts and reads.
std::atomic<long> allocations{0};

} // namespace

#ifndef DSHM_SANITIZED
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_calloc(count, size);
}
void* realloc(void* block, std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_realloc(block, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
    allocations.fetch_add(1, std::memory_order_relaxed);
    return __libc_memalign(alignment, size);
}
}
#endif

namespace {

#ifndef PR_SET_SYSCALL_USER_DISPATCH // Linux 5.11; Debian 12's headers have it
#define PR_SET_SYSCALL_USER_DISPATCH 59
#define PR_SYS_DISPATCH_OFF 0
#define PR_SYS_DISPATCH_ON 1
#endif

// The selector of the one thread that is watched, and what tripped it.
volatile char selector = 0; // 0: calls pass; 1: the next one is noted
volatile long first_call = -1;

void note_call(int, siginfo_t* info, void* context) {
    selector = 0;
    first_call = info->si_syscall;
    auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
    registers[REG_RIP] -= 2; // the length of `syscall`, which is made again and passes
}

// From here on this thread can be watched. False where the kernel cannot do that.
bool start_watching() {
    struct sigaction action {};
    action.sa_sigaction = &note_call;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSYS, &action, nullptr);
    return prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0;
}

// What happened in a process since it was last asked.
struct Events {
    long allocations = 0;
    long system_call = -1;
    bool none() const { return allocations == 0 && system_call == -1; }
};

long allocations_before = 0;

void arm() {
    first_call = -1;
    allocations_before = allocations.load(std::memory_order_relaxed);
    selector = 1;
}

Events disarm() {
    selector = 0;
    return {allocations.load(std::memory_order_relaxed) - allocations_before, first_call};
}

// The body of the small task: what happened in the worker since the end of the one before.
Events since_last(int) {
    const Events events = disarm();
    arm();
    return events;
}

struct Trips {
    int made = 0;
    int clean_now = 0;
    int most_clean = 0;
    long allocations = 0; // altogether
    long last_call = -1;

    void add(const Events& here, const Events& there) {
        ++made;
        clean_now = here.none() && there.none() ? clean_now + 1 : 0;
        most_clean = std::max(most_clean, clean_now);
        allocations += here.allocations + there.allocations;
        for (const Events& events : {here, there})
            if (events.system_call != -1)
                last_call = events.system_call;
    }
    std::string text() const {
        return std::to_string(made) + " trips, at most " + std::to_string(most_clean) +
               " clean in a row, " + std::to_string(allocations) +
               " allocations, last system call number " + std::to_string(last_call);
    }
};

constexpr int clean_wanted = 100;
constexpr int most_trips = 1'000'000;

// Round trips until so many in a row were clean, which a path with an allocation or a system call
// never is.
template <class Trip>
Trips make_trips(WorkerId worker, Trip trip) {
    if (!fetch_from(worker, &start_watching) || !start_watching())
        throw std::runtime_error("no dispatch");
    for (int i = 0; i < 1000; ++i) // caches of records and blocks fill
        trip(i);
    fetch_from(worker, &since_last, 0);
    Trips trips;
    while (trips.most_clean < clean_wanted && trips.made < most_trips) {
        arm();
        const Events there = trip(trips.made);
        trips.add(disarm(), there);
    }
    std::cout << trips.text() << std::endl;
    return trips;
}

bool kernel_can_dispatch() {
    const bool can = prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON, 0, 0, &selector) == 0;
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
    return can;
}

template <class Trip>
void check_clean(Trip trip) {
#ifdef DSHM_SANITIZED
    static_cast<void>(trip);
    WARN("a sanitizer allocates and calls the system by itself");
#else
    if (!kernel_can_dispatch()) {
        WARN("this kernel has no syscall user dispatch");
        return;
    }
    const Outcome outcome = in_session(1, [trip] {
        const WorkerId worker = workers().front();
        const Trips trips = make_trips(worker, [&](int i) { return trip(worker, i); });
        DEMAND(trips.most_clean >= clean_wanted);
    });
    INFO(outcome.output);
    CHECK(has(outcome.output, "clean in a row"));
#endif
}

} // namespace

TEST_CASE("the counters see what they are there for") {
#ifndef DSHM_SANITIZED
    if (!kernel_can_dispatch())
        return;
    REQUIRE(start_watching());
    arm();
    CHECK_FALSE(std::unique_ptr<int>(new int(1)) == nullptr);
    const Events allocated = disarm();
    CHECK(allocated.allocations >= 1);
    arm();
    const pid_t self = getppid();
    const Events called = disarm();
    CHECK(called.system_call == 110); // getppid
    CHECK(self == getppid());
    prctl(PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_OFF, 0, 0, 0);
#endif
}

TEST_CASE("a small task is fetched without an allocation or a system call") {
    check_clean([](WorkerId worker, int i) { return fetch_from(worker, &since_last, i); });
}

TEST_CASE("so is one that is spawned first, and has a closure") {
    check_clean([](WorkerId worker, int i) {
        const double weight = 0.5;
        const auto future = spawn_at(
            worker,
            [weight](int n, double x) { return since_last(n + static_cast<int>(weight * x)); }, i,
            1.0);
        return fetch(future);
    });
}

TEST_CASE("so is one that goes to whoever is idle") {
    check_clean([](WorkerId, int i) { return fetch(spawn(&since_last, i)); });
}
