// What a process does next: run a task, steal one, spin a little, or sleep.
//
// A process takes from its inbox, then from its own ready ring, then steals from others' ready
// rings. A process that waits for something does the same meanwhile: it runs what it waits for on
// its own stack if nobody else has begun it, and sets the wait aside for other work (fibers.hpp).
// So work sent to the master runs whenever it waits, and a task that waits blocks nobody. Threads
// other than the first run other work on top of their waits.
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
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/fibers.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/runtime/task_table.hpp"
#include "dshm/sync/spin_budget.hpp"

namespace dshm::runtime {

class Process;

// What a wait is for. ready() may be asked very often and must be cheap; about_to_sleep() tells the
// process that will make it true that somebody sleeps.
class WaitFor {
public:
    // Asked again after it was true, it is true again, unless somebody else was quicker: a wait ends
    // only when a second look agrees.
    virtual bool ready() = 0;
    virtual void about_to_sleep() {}
    // The very task that is waited for, claimed for this process, if nobody has begun it: running
    // what one waits for needs no more stack than a plain call, and always leads somewhere.
    virtual std::optional<TaskRef> claim_awaited() { return std::nullopt; }
    // What it waits for is a task: whoever has begun it ends it, whatever others do.
    virtual bool is_for_task() const { return false; }
    // The wait throws InterruptException when the task that waits is cancelled or its process
    // interrupted. Not for waits in the middle of something.
    virtual bool interruptible() const { return false; }
    // What to be told of while the wait is set aside (fibers.hpp); without any it is asked often.
    virtual void for_each_key(const std::function<void(EventKey)>&) const {}
    // The wait of a worker for the end of all: there is nothing below it, so tasks run on top of it.
    virtual bool is_loop() const { return false; }

protected:
    ~WaitFor() = default;
};

// os::ticks() when this thread began the code of the task that it runs now: whoever wants to know how
// long that took asks here. 10 ns for each task.
std::uint64_t task_start_tick() noexcept;
void note_task_start(std::string_view name) noexcept;

// Says on standard error when a task overflows its stack, before the process dies of it.
void report_stack_overflows() noexcept;

// The task that this thread runs was cancelled, or its process interrupted, since it began. False
// outside tasks. A few ns.
bool stop_requested() noexcept;

class Scheduler {
public:
    explicit Scheduler(Process& process);
    ~Scheduler();

    // From now on the waits of the calling thread are set aside where there is other work.
    void allow_setting_aside();

    // Returns once ready() holds. Runs tasks meanwhile. Throws when the session has ended.
    void wait(WaitFor& what) { wait_until(what, os::Clock::time_point::max()); }
    // The same until a deadline; false when that came first. A task that was started meanwhile is
    // ended first.
    bool wait_until(WaitFor& what, os::Clock::time_point deadline);

    // Puts a queued task where `target` will find it, or anyone when it has none. Waits while the
    // ring is full.
    void send_to(const Membership::Member& target, TaskRef task);
    void offer(TaskRef task);

    // Runs a claimed task on top of whatever this thread does.
    void start(TaskRef task);

    // Whether this process runs tasks that are for anyone: workers do, the master only alone.
    bool may_run_ready() const;

    // Tells a process that something has happened to what the key names.
    void wake_with(unsigned slot, EventKey key);
    // Wakes whoever waits for a task that has ended; `word` is its control word since the end.
    void ring_waiters(TaskRef task, std::uint64_t word);

private:
    enum class Spin { ready, worked, in_vain };

    Fibers* fibers() const;
    bool asked_to_leave() const;
    bool may_begin_tasks() const;
    bool would_bury(const WaitFor& what) const;
    void run_loop();
    static bool its_turn();
    bool do_other_work(WaitFor& what, os::Clock::time_point deadline);
    Spin spin(WaitFor& what, os::Clock::time_point deadline);
    Spin spin_until(WaitFor& what, os::Clock::time_point deadline, std::uint64_t start,
                    std::uint64_t limit);
    Spin spin_long(WaitFor& what, os::Clock::time_point deadline, std::uint64_t start);
    void tidy_up();
    void sleep(WaitFor& what, os::Clock::time_point deadline);
    void look_for_what_was_lost();

    bool work_visible() const;
    std::optional<TaskRef> find_one();
    bool is_for_us(queue::Entry entry) const;
    bool is_alone() const;
    void send_elsewhere(const Membership::Member& dead, TaskRef task);
    std::optional<TaskRef> take_from_inbox();
    std::optional<TaskRef> take_from_own_ready();
    std::optional<TaskRef> steal();
    std::optional<TaskRef> steal_from(unsigned victim);
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
    std::unique_ptr<Fibers> fibers_;
    std::optional<TaskRef> handed_over_; // claimed, for the loop that is switched to
    decltype(ProcessArea::ready)::ProducerHint ready_hint_;
    std::array<decltype(ProcessArea::inbox)::ProducerHint, shm::max_processes> inbox_hints_;
    std::array<decltype(ProcessArea::events)::ProducerHint, shm::max_processes> event_hints_;
};

} // namespace dshm::runtime
