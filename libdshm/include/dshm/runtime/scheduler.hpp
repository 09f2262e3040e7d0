// What a process does next: run a task, steal one, spin a little, or sleep.
//
// A process takes from its inbox, then from its own ready ring, then steals from others' ready
// rings. A process that waits for something does the same meanwhile, so work sent to the master
// runs whenever it waits, and a worker that waits for a task of its own runs it if nobody else has.
// (A waiting task keeps its place on the stack; tasks that are set aside as fibers are not here
// yet.)
//
// Sleeping costs the waker a system call and the sleeper 14 µs and more, so processes spin first
// (spin_budget.hpp), yielding where another one is awake on the same processor (whereabouts.hpp).
// The worker that ran out of work last spins on for up to 2 ms: after a pause of a millisecond its
// next task starts in a few microseconds instead of fifty.
//
// Wakes for `ready` work: at most one process at a time is woken and searching; when it finds work
// it wakes the next. A searcher that dies is taken off by recovery; one that is stopped delays
// others by at most a second, after which sleepers look around.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/runtime/task_table.hpp"
#include "dshm/sync/spin_budget.hpp"

namespace dshm::runtime {

class Process;

// What a wait is for. ready() may be asked very often and must be cheap; about_to_sleep() tells the
// process that will make it true that somebody sleeps.
class WaitFor {
public:
    virtual bool ready() = 0;
    virtual void about_to_sleep() {}
    // The very task that is waited for, claimed for this process, if nobody has begun it: running
    // what one waits for needs no more stack than a plain call, and always leads somewhere.
    virtual std::optional<TaskRef> claim_awaited() { return std::nullopt; }
    // The wait throws InterruptException when the task that waits is cancelled or its process
    // interrupted. Not for waits in the middle of something.
    virtual bool interruptible() const { return false; }

protected:
    ~WaitFor() = default;
};

// os::ticks() when this thread began the code of the task that it runs now: whoever wants to know how
// long that took asks here. 10 ns for each task.
std::uint64_t task_start_tick() noexcept;
void note_task_start() noexcept;

// The task that this thread runs was cancelled, or its process interrupted, since it began. False
// outside tasks. A few ns.
bool stop_requested() noexcept;

class Scheduler {
public:
    explicit Scheduler(Process& process) : process_(&process) {}

    // Returns once ready() holds. Runs tasks meanwhile. Throws when the session has ended.
    void wait(WaitFor& what) { wait_until(what, os::Clock::time_point::max()); }
    // The same until a deadline; false when that came first. A task that was started meanwhile is
    // ended first.
    bool wait_until(WaitFor& what, os::Clock::time_point deadline);

    // Puts a queued task where `target` will find it, or anyone when it has none. Waits while the
    // ring is full.
    void send_to(const Membership::Member& target, TaskRef task);
    void offer(TaskRef task);

    // Runs one task, if there is one that this process may run now.
    bool run_one();
    // Runs a claimed task on top of whatever this thread does.
    void start(TaskRef task);

private:
    enum class Spin { ready, ran_a_task, in_vain };

    Spin spin(WaitFor& what);
    Spin spin_until(WaitFor& what, std::uint64_t start, std::uint64_t limit);
    Spin spin_long(WaitFor& what, std::uint64_t start);
    void sleep(WaitFor& what, os::Clock::time_point deadline);

    bool may_run_ready() const;
    bool work_visible() const;
    bool run_from_inbox();
    bool run_from_own_ready();
    bool steal();
    bool steal_from(unsigned victim);
    std::size_t batch_behind(unsigned victim, std::uint64_t position);
    void show_ready();
    void clear_stale_hints();

    bool stop_searching();
    void pass_on_wake();
    bool wake(unsigned slot);
    void wake_a_searcher();
    template <class Ring>
    void advance(Ring& ring, std::uint64_t position, std::size_t count);
    void find_lost_work();
    template <class Ring, class GiveUp>
    void put(Ring& ring, queue::Entry entry, typename Ring::ProducerHint& hint, GiveUp& give_up);

    Process* process_;
    decltype(ProcessArea::ready)::ProducerHint ready_hint_;
    std::array<decltype(ProcessArea::inbox)::ProducerHint, shm::max_processes> inbox_hints_;
};

} // namespace dshm::runtime
