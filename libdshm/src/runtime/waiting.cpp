// How a thread waits: it runs what it waits for, sets the wait aside for other work, spins, sleeps.
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <utility>

#include "dshm/base/scope_guard.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/os/faults.hpp"
#include "dshm/runtime/fibers.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "thread_state.hpp"

namespace dshm::runtime {

namespace {

// The worker that ran out of work last spins on for this long: a call after a pause of 1 ms then
// takes microseconds, not the 50 that a wake from deep sleep costs.
constexpr std::uint64_t long_spin_microseconds = 2000;
// A spinner says that it is searching only after this long: in a quick exchange nobody else needs
// to know.
constexpr std::uint64_t silent_spin_microseconds = 2;
// A thread that runs tasks on top of its wait stops when this much of the usual 8 MiB stack is used.
constexpr std::ptrdiff_t stack_for_helping = 5 * 1024 * 1024;

bool stack_is_deep() {
    const char* here = static_cast<const char*>(__builtin_frame_address(0));
    if (thread_state.stack_base == nullptr)
        thread_state.stack_base = here;
    return std::abs(thread_state.stack_base - here) > stack_for_helping;
}

bool is_past(os::Clock::time_point deadline) {
    return deadline != os::Clock::time_point::max() && os::Clock::now() >= deadline;
}

} // namespace

thread_local ThreadState thread_state;

bool stop_requested() noexcept {
    return thread_state.stack.running != nullptr && thread_state.stack.running->should_stop();
}

std::uint64_t task_start_tick() noexcept { return thread_state.stack.task_start; }
void note_task_start(std::string_view name) noexcept {
    thread_state.stack.task_start = os::ticks();
    thread_state.stack.task_name = name;
}

void report_stack_overflows() noexcept {
    os::on_stack_overflow([] { // a signal handler
        const auto say = [](std::string_view text) {
            static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
        };
        say("dshm: stack overflow in ");
        say(thread_state.stack.task_name.empty() ? "a worker" : thread_state.stack.task_name);
        say("; a task has as much stack as a thread (ulimit -s)\n");
    });
}

Scheduler::Scheduler(Process& process) : process_(&process) {}
Scheduler::~Scheduler() = default;

void Scheduler::allow_setting_aside() {
    fibers_ = std::make_unique<Fibers>(*process_, [this] { run_loop(); });
}

// The stacks of this thread, if its waits can be set aside.
Fibers* Scheduler::fibers() const {
    return fibers_ != nullptr && fibers_->here() ? fibers_.get() : nullptr;
}

bool Scheduler::asked_to_leave() const {
    return process_->leave && process_->area().exit_asked.load(std::memory_order_acquire) != 0;
}

bool Scheduler::may_begin_tasks() const {
    if (process_->is_client() || thread_state.stack.begins_nothing)
        return false;
    return fibers() != nullptr ? !asked_to_leave() : !stack_is_deep();
}

// A task that waits where it cannot be set aside goes on only when all that was begun on top of it has
// ended. Some of that may wait for this very task; so while it waits for another one, it begins that one
// or nothing.
bool Scheduler::would_bury(const WaitFor& what) const {
    return thread_state.stack.depth != 0 && fibers() == nullptr && what.is_for_task();
}

// ---- running -----------------------------------------------------------------------------------

void Scheduler::start(TaskRef task) {
    pass_on_wake();
    TaskStream stream;
    const shm::Word32& interrupts = process_->area().interrupts;
    const RunningTask running{task,
                              &process_->tasks().record(task),
                              &interrupts,
                              interrupts.load(std::memory_order_relaxed), // relaxed: should_stop()
                              thread_state.stack.running,
                              &stream};
    const std::string_view outer_name = thread_state.stack.task_name;
    const bool outer_begins_nothing = std::exchange(thread_state.stack.begins_nothing, false);
    thread_state.stack.running = &running;
    ++thread_state.stack.depth;
    {
        const SyncScope::Hidden hidden; // what the task spawns is not ours to wait for
        run_task(*process_, task);
    }
    --thread_state.stack.depth;
    thread_state.stack.begins_nothing = outer_begins_nothing;
    thread_state.stack.running = running.outer;
    thread_state.stack.task_start = 0; // of the task below, if there is one: long ago
    thread_state.stack.task_name = outer_name;
    if (running.outer != nullptr) // relaxed: read by the launcher after our death and by tools
        process_->area().current_function.store(running.outer->record->function,
                                                std::memory_order_relaxed);
}

// On a stack of its own. Between two lines of this, nothing lies on the stack.
void Scheduler::run_loop() {
    for (;;) {
        if (handed_over_)
            start(*std::exchange(handed_over_, std::nullopt));
        else if (its_turn() && fibers_->look())
            fibers_->resume_one();
        else if (const auto task = find_one())
            start(*task);
        else
            fibers_->resume_one();
    }
}

// Waits that may go on and new tasks take turns, so that neither keeps the other from running.
bool Scheduler::its_turn() { return thread_state.others_turn = !thread_state.others_turn; }

// Does something else while `what` is waited for. False when there is nothing to do.
bool Scheduler::do_other_work(WaitFor& what, os::Clock::time_point deadline) {
    Fibers* const set_aside = fibers();
    const auto go_on_with_another = [&] {
        return set_aside != nullptr && set_aside->count() != 0 && set_aside->look() &&
               set_aside->set_aside(what, deadline, Fibers::Next::wait);
    };
    if (its_turn() && go_on_with_another())
        return true;
    const auto task = find_one();
    if (!task)
        return go_on_with_another();
    if (set_aside == nullptr || what.is_loop()) {
        start(*task);
        return true;
    }
    handed_over_ = task;
    if (!set_aside->set_aside(what, deadline, Fibers::Next::loop))
        start(*std::exchange(handed_over_, std::nullopt)); // no memory for a stack: on top of this
    return true;
}

// ---- waiting -----------------------------------------------------------------------------------

bool Scheduler::wait_until(WaitFor& what, os::Clock::time_point deadline) {
    const bool outer_begins_nothing =
        std::exchange(thread_state.stack.begins_nothing, would_bury(what));
    const base::ScopeGuard no_longer([this, outer_begins_nothing] {
        pass_on_wake();
        thread_state.stack.has_woken = false;
        thread_state.stack.begins_nothing = outer_begins_nothing;
    });
    while (!what.ready()) {
        if (what.interruptible() && stop_requested())
            throw InterruptException("dshm: interrupted while waiting");
        if (may_run_ready() || thread_state.stack.begins_nothing) {
            if (const auto awaited = what.claim_awaited()) {
                start(*awaited);
                continue;
            }
        }
        if (!do_other_work(what, deadline) && spin(what, deadline) == Spin::in_vain &&
            !is_past(deadline))
            sleep(what, deadline);
        if (is_past(deadline))
            return what.ready();
    }
    return true;
}

Scheduler::Spin Scheduler::spin(WaitFor& what, os::Clock::time_point deadline) {
    const std::uint64_t start = thread_state.idle_tick = os::ticks();
    Spin outcome = spin_until(what, deadline, start, thread_state.budget.ticks());
    if (outcome == Spin::ready)
        thread_state.budget.was_worth(os::ticks() - start);
    if (outcome != Spin::in_vain)
        return outcome;
    if (!process_->is_master() && !process_->is_client() && thread_state.stack.depth == 0)
        outcome = spin_long(what, deadline, start);
    if (outcome == Spin::in_vain)
        thread_state.budget.spun_in_vain();
    return outcome;
}

Scheduler::Spin Scheduler::spin_until(WaitFor& what, os::Clock::time_point deadline,
                                      std::uint64_t start, std::uint64_t limit) {
    const std::uint64_t silent = silent_spin_microseconds * os::ticks_per_microsecond();
    bool announced = !may_run_ready();
    for (std::uint64_t spent = 0; spent < limit; spent = thread_state.idle_tick - start) {
        if (!announced && spent > silent) {
            process_->header().searching.set(process_->me().slot, std::memory_order_seq_cst);
            announced = true;
        }
        const bool crowded = process_->whereabouts().crowded() || thread_state.stack.has_woken;
        for (int i = 0; i < (crowded ? 1 : 8); ++i) {
            if (what.ready())
                return Spin::ready;
            if (process_->area().inbox.peek() && do_other_work(what, deadline))
                return Spin::worked;
            os::pause();
        }
        thread_state.idle_tick = os::ticks();
        if (do_other_work(what, deadline))
            return Spin::worked;
        if (crowded)
            sched_yield();
    }
    return Spin::in_vain;
}

// One worker at a time, the last to run out of work: a later one takes the seat and the earlier one
// goes to sleep.
Scheduler::Spin Scheduler::spin_long(WaitFor& what, os::Clock::time_point deadline,
                                     std::uint64_t start) {
    shm::Word64& seat = process_->header().long_spinner;
    const std::uint64_t mine = process_->me().slot + 1u;
    seat.store(mine, std::memory_order_relaxed); // relaxed: a hint about who may waste time
    const std::uint64_t slice = 20 * os::ticks_per_microsecond();
    const std::uint64_t end = start + long_spin_microseconds * os::ticks_per_microsecond();
    while (os::ticks() < end && seat.load(std::memory_order_relaxed) == mine) {
        const Spin outcome = spin_until(what, deadline, os::ticks(), slice);
        if (outcome != Spin::in_vain)
            return outcome;
        // For a process that was woken on this processor and has not run yet: nobody knows of it, and
        // it would wait until a time slice ends. A loop on four workers after 5 ms of silence takes
        // 0.17 ms so, and took 2.2 ms before.
        sched_yield();
    }
    return Spin::in_vain;
}

namespace {

// By the launcher, after a death (on_worker_death.hpp): nobody rings for what does not come any more.
bool was_stopped(const Process& process) {
    return process.header().stopped_by.load(std::memory_order_acquire) != 0;
}

} // namespace

// What a process owes others before it sleeps: what it keeps for them, and work it could do.
void Scheduler::tidy_up() {
    process_->holdings().release_pins_before_sleep();
    if (!process_->shared_values().empty())
        process_->shared_values().forget_dead();
    if (!process_->channels().empty())
        process_->channels().forget_dead();
    if (process_->file_mappings().keeps_any())
        process_->file_mappings().forget_gone();
    stop_searching();
    if (!process_->tasks().waiting_for_room().empty(std::memory_order_seq_cst))
        process_->holdings().make_room();
    if (process_->area().ready.peek()) {
        show_ready();
        wake_a_searcher();
    }
    clear_stale_hints();
}

void Scheduler::sleep(WaitFor& what, os::Clock::time_point deadline) {
    Fibers* const others = fibers();
    if (others != nullptr)
        deadline = std::min(deadline, others->next_deadline());
    std::chrono::nanoseconds limit = waiting::longest_sleep;
    if (deadline != os::Clock::time_point::max())
        limit = std::clamp<std::chrono::nanoseconds>(deadline - os::Clock::now(),
                                                     std::chrono::nanoseconds(0), limit);
    tidy_up();
    if (asked_to_leave() && !what.is_loop())
        process_->leave(); // nothing runs here any more, and what waits may wait for ever
    const unsigned me = process_->me().slot;
    shm::ProcessMask& parked = process_->header().parked;
    what.about_to_sleep();
    process_->whereabouts().leave();
    if (may_begin_tasks())                         // else woken for nothing
        parked.set(me, std::memory_order_seq_cst); // edge `park`
    process_->counters().add(Count::parked);
    const auto start = os::Clock::now();
    process_->area().bell.wait(
        [&] {
            // The mark: whoever set it has rung before the word was armed, and wakes nobody else.
            return what.ready() || work_visible() || asked_to_leave() ||
                   process_->header().searching.test(me, std::memory_order_seq_cst) ||
                   process_->session_was_closed() || was_stopped(*process_) ||
                   (others != nullptr && others->something_happened()) ||
                   (what.interruptible() && stop_requested());
        },
        limit);
    parked.clear(me, std::memory_order_seq_cst);
    process_->whereabouts().crowded(); // awake again, and here
    thread_state.idle_tick = os::ticks();
    if (os::Clock::now() - start >= waiting::longest_sleep)
        look_for_what_was_lost();
    if (!what.ready()) // what has come before the end of the session is had all the same
        process_->check_session();
}

// After a second in which nobody rang: hints may have gone with their authors.
void Scheduler::look_for_what_was_lost() {
    if (!process_->is_master())
        find_lost_work();
    if (Fibers* const others = fibers())
        others->look_at_all();
}

// ---- waking ------------------------------------------------------------------------------------

void Scheduler::wake_with(unsigned slot, EventKey key) {
    ProcessArea& area = process_->processes().area(slot);
    if (area.events.put(event_of(key), event_hints_[slot]) == queue::PutResult::full)
        area.looks.fetch_add(1, std::memory_order_release); // edge `look`
    area.bell.ring();
}

void Scheduler::ring_waiters(TaskRef task, std::uint64_t word) {
    if ((word & control::origin_waits) != 0)
        wake_with(shm::Owner::from_bits(control::Origin::get(word)).slot, task_key(task.index));
    if ((word & control::shared) == 0) [[likely]]
        return;
    // seq_cst, edge `park`.
    std::uint64_t bits = process_->tasks().record(task).waiters.load(std::memory_order_seq_cst);
    for (; bits != 0; bits &= bits - 1)
        for (auto slot = static_cast<unsigned>(std::countr_zero(bits)); slot < shm::max_processes;
             slot += 64)
            if (process_->processes().backed(slot))
                wake_with(slot, task_key(task.index));
}

} // namespace dshm::runtime
