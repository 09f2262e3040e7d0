#include "dshm/runtime/scheduler.hpp"

#include <sched.h>

#include <algorithm>
#include <bit>
#include <cstdlib>

#include "dshm/base/scope_guard.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/sync_scope.hpp"

namespace dshm::runtime {

namespace {

// The worker that ran out of work last spins on for this long: a call after a pause of 1 ms then
// takes microseconds, not the 50 that a wake from deep sleep costs.
constexpr std::uint64_t long_spin_microseconds = 2000;
// A spinner says that it is searching only after this long: in a quick exchange nobody else needs
// to know.
constexpr std::uint64_t silent_spin_microseconds = 2;
// Most entries that a thief looks at, and copies, at once: four and two lines of cells.
constexpr std::size_t farthest_look = 32;
constexpr std::size_t largest_batch = 16;
// A thief that got fewer than this leaves the ring alone for a moment: each look takes the line
// away from the producer that is filling it, and tiny tasks are produced faster when they are taken
// in batches (5 M/s without, 10 M/s with it).
constexpr std::size_t small_batch = 4;
constexpr std::uint64_t thief_rest_nanoseconds = 400;
// A waiting task that runs others on top of itself stops when this much of the usual 8 MiB stack is
// used.
constexpr std::ptrdiff_t stack_for_helping = 5 * 1024 * 1024;

// A task on this thread's stack, and where to look whether it should stop.
struct RunningTask {
    const shm::Word64* control;
    const shm::Word32* interrupts;
    std::uint32_t interrupts_before;
    const RunningTask* outer;

    bool should_stop() const {
        // relaxed: whoever asks it to stop rings afterwards; nothing else is read because of it.
        return (control->load(std::memory_order_relaxed) & control::cancelled) != 0 ||
               interrupts->load(std::memory_order_relaxed) != interrupts_before;
    }
};

struct ThreadState {
    waiting::SpinBudget budget;
    const char* stack_base = nullptr;
    unsigned last_victim = 0;
    unsigned last_woken = 0;
    unsigned depth = 0; // tasks on this stack
    std::uint64_t idle_tick = 0;
    std::uint64_t task_start = 0;
    // Somebody was woken for what this thread waits for now. It often starts on our own processor, so
    // the wait yields (a loop over two workers: 7 to 11 µs, 36 without).
    bool has_woken = false;
    std::uint64_t next_theft = 0; // not before this tick
    const RunningTask* running = nullptr;
};

thread_local ThreadState thread_state;

bool stack_is_deep() {
    const char* here = static_cast<const char*>(__builtin_frame_address(0));
    if (thread_state.stack_base == nullptr)
        thread_state.stack_base = here;
    return std::abs(thread_state.stack_base - here) > stack_for_helping;
}

// A ring has room, or there is no point in waiting for it.
template <class Ring, class GiveUp>
class RingRoom final : public WaitFor {
public:
    RingRoom(Ring& ring, unsigned me, GiveUp& give_up)
        : ring_(&ring), me_(me), give_up_(&give_up) {}
    bool ready() override { return !ring_->full() || (*give_up_)(); }
    void about_to_sleep() override {
        ring_->waiting_for_room().set(me_, std::memory_order_seq_cst);
    }

private:
    Ring* ring_;
    unsigned me_;
    GiveUp* give_up_;
};

// The first set bit of the mask at or after `start`, cyclically; `none` if there is none. Only the
// first `words` words are in use.
constexpr unsigned none = shm::max_processes;

unsigned next_in(const shm::ProcessMask& mask, unsigned start, unsigned words) {
    for (unsigned step = 0; step <= words; ++step) {
        const unsigned word = (start / 64 + step) % words;
        // seq_cst, edge `park`: an offer comes before the look at who sleeps.
        std::uint64_t bits = mask.words[word].load(std::memory_order_seq_cst);
        if (step == 0)
            bits &= ~std::uint64_t{0} << (start % 64);
        if (bits != 0)
            return word * 64 + static_cast<unsigned>(std::countr_zero(bits));
    }
    return none;
}

} // namespace

bool stop_requested() noexcept {
    return thread_state.running != nullptr && thread_state.running->should_stop();
}

std::uint64_t task_start_tick() noexcept { return thread_state.task_start; }
void note_task_start() noexcept { thread_state.task_start = os::ticks(); }

// ---- finding work ------------------------------------------------------------------------------

bool Scheduler::may_run_ready() const {
    return !process_->is_master() || process_->worker_count() == 0;
}

bool Scheduler::work_visible() const {
    if (stack_is_deep())
        return false;
    if (process_->area().inbox.peek())
        return true;
    return may_run_ready() &&
           !process_->header().ready.empty(std::memory_order_seq_cst, process_->mask_words());
}

bool Scheduler::run_one() {
    if (stack_is_deep())
        return false;
    return run_from_inbox() || (may_run_ready() && (run_from_own_ready() || steal()));
}

void Scheduler::start(TaskRef task) {
    pass_on_wake();
    const shm::Word32& interrupts = process_->area().interrupts;
    const RunningTask running{&process_->tasks().record(task).control, &interrupts,
                              interrupts.load(std::memory_order_relaxed), // relaxed: as above
                              thread_state.running};
    thread_state.running = &running;
    ++thread_state.depth;
    {
        const SyncScope::Hidden hidden; // what the task spawns is not ours to wait for
        run_task(*process_, task);
    }
    --thread_state.depth;
    thread_state.running = running.outer;
}

template <class Ring>
void Scheduler::advance(Ring& ring, std::uint64_t position, std::size_t count) {
    if (!ring.advance(position, count) || !Ring::passes_half(position, count))
        return;
    ring.waiting_for_room().for_each(std::memory_order_seq_cst, [&](unsigned slot) {
        ring.waiting_for_room().clear(slot, std::memory_order_seq_cst);
        process_->processes().area(slot).bell.ring();
    });
}

bool Scheduler::run_from_inbox() {
    auto& inbox = process_->area().inbox;
    while (const auto front = inbox.peek()) {
        const auto task = process_->tasks().claim(front->entry);
        advance(inbox, front->position, 1);
        if (!task)
            continue;
        const auto target = control::Target::get(process_->tasks().record(*task).control.load(
            std::memory_order_relaxed)); // relaxed: fixed since it was queued
        if (target == static_cast<std::uint64_t>(process_->id()))
            start(*task);
        else // it was meant for the one that died in this slot before us
            fail_task(*process_, *task,
                      missing_worker(process_->processes(), static_cast<WorkerId>(target)));
        return true;
    }
    return false;
}

bool Scheduler::run_from_own_ready() {
    auto& ready = process_->area().ready;
    while (const auto front = ready.peek()) {
        const auto task = process_->tasks().claim(front->entry);
        advance(ready, front->position, 1);
        if (task) {
            start(*task);
            return true;
        }
    }
    return false;
}

bool Scheduler::steal() {
    const shm::ProcessMask& ready = process_->header().ready;
    const unsigned words = process_->mask_words();
    if (ready.empty(std::memory_order_relaxed, words)) // relaxed: looked at again before sleeping
        return false;
    if (thread_state.next_theft != 0 && os::ticks() < thread_state.next_theft)
        return false;
    unsigned victim = thread_state.last_victim;
    // Each set bit once, or a little more when bits change meanwhile.
    for (unsigned left = ready.count(std::memory_order_relaxed, words); left > 0;
         --left) { // relaxed: a bound
        victim = next_in(ready, (victim + 1) % shm::max_processes, words);
        if (victim == none)
            return false;
        thread_state.last_victim = victim;
        if (steal_from(victim))
            return true;
    }
    return false;
}

// How many of the entries behind the first one a thief takes along: its share of what it sees.
std::size_t Scheduler::batch_behind(unsigned victim, std::uint64_t position) {
    const auto& ring = process_->processes().area(victim).ready;
    std::size_t seen = 1;
    // Whoever takes the next batch finds its records already here: a record comes from the
    // producer's cache, 0.1 µs away.
    for (; seen < farthest_look; ++seen) {
        const auto entry = ring.peek_behind(position, seen);
        if (!entry)
            break;
        __builtin_prefetch(&process_->tasks().record(entry->index), 1);
    }
    const std::size_t share = seen / std::max<std::size_t>(process_->worker_count(), 2);
    return std::clamp<std::size_t>(share, 1, largest_batch) - 1;
}

// Claims the victim's first task and copies a share of what lies behind it into the own ready ring:
// entries first, head after, so that a thief that dies between leaves them in two places and never
// in none.
bool Scheduler::steal_from(unsigned victim) {
    auto& ring = process_->processes().area(victim).ready;
    const auto front = ring.peek();
    if (!front)
        return false;
    const auto task = process_->tasks().claim(front->entry);
    std::size_t taken = 1;
    if (victim != process_->me().slot) {
        const std::size_t more = batch_behind(victim, front->position);
        while (taken <= more) {
            const auto entry = ring.peek_behind(front->position, taken);
            if (!entry || process_->area().ready.put(*entry, ready_hint_) == queue::PutResult::full)
                break;
            ++taken;
        }
        thread_state.next_theft =
            taken < small_batch
                ? os::ticks() + thief_rest_nanoseconds * os::ticks_per_microsecond() / 1000
                : 0;
    }
    advance(ring, front->position, taken);
    if (taken > 1)
        show_ready();
    if (!task)
        return taken > 1 && run_from_own_ready();
    process_->counters().add(Count::stolen, taken);
    stop_searching();
    if (taken > 1)
        wake_a_searcher();
    start(*task);
    return true;
}

// Says that the own ready ring holds work.
void Scheduler::show_ready() {
    shm::ProcessMask& mask = process_->header().ready;
    if (!mask.test(process_->me().slot, std::memory_order_seq_cst)) // edge `ready-hint`
        mask.set(process_->me().slot, std::memory_order_seq_cst);
}

// Takes the bits off empty rings, before a sleep: a spinner leaves them, because the producer would
// have to set them again.
void Scheduler::clear_stale_hints() {
    shm::ProcessMask& mask = process_->header().ready;
    mask.for_each(std::memory_order_seq_cst, [&](unsigned slot) {
        auto& ring = process_->processes().area(slot).ready;
        if (ring.peek())
            return;
        // seq_cst, edge `ready-hint`: the owner fills a cell, then looks at the bit; we clear the
        // bit, then look at the cell.
        mask.clear(slot, std::memory_order_seq_cst);
        if (ring.peek())
            mask.set(slot, std::memory_order_seq_cst);
    });
}

// ---- giving work -------------------------------------------------------------------------------

template <class Ring, class GiveUp>
void Scheduler::put(Ring& ring, queue::Entry entry, typename Ring::ProducerHint& hint,
                    GiveUp& give_up) {
    while (ring.put(entry, hint) == queue::PutResult::full && !give_up()) {
        RingRoom<Ring, GiveUp> room(ring, process_->me().slot, give_up);
        wait(room);
    }
}

void Scheduler::send_to(const Membership::Member& target, TaskRef task) {
    ProcessArea& area = process_->processes().area(target.owner.slot);
    auto dead = [&] { return !process_->processes().alive(target.owner); };
    put(area.inbox, entry_of(task), inbox_hints_[target.owner.slot], dead);
    thread_state.has_woken |= area.bell.ring();
    // A target that died before the entry was there has been swept already: nobody else will end
    // this task.
    if (dead() && process_->tasks().claim_queued(task))
        fail_task(*process_, task, missing_worker(process_->processes(), target.id));
}

void Scheduler::offer(TaskRef task) {
    // With no stack left for others' tasks and no room in the ring, the new one is run here and
    // now.
    auto run_it_here = [&] {
        const bool mine = stack_is_deep() && process_->tasks().claim_queued(task);
        if (mine)
            start(task);
        return mine || process_->tasks().ended(task);
    };
    put(process_->area().ready, entry_of(task), ready_hint_, run_it_here);
    show_ready();
    wake_a_searcher();
}

// True when this process was marked as searching.
bool Scheduler::stop_searching() {
    shm::ProcessMask& searching = process_->header().searching;
    const bool marked = searching.test(process_->me().slot, std::memory_order_seq_cst);
    if (marked)
        searching.clear(process_->me().slot, std::memory_order_seq_cst);
    return marked;
}

// This process looks no further: a wake that was meant for work elsewhere goes on to somebody else.
void Scheduler::pass_on_wake() {
    if (stop_searching() &&
        !process_->header().ready.empty(std::memory_order_seq_cst, process_->mask_words()))
        wake_a_searcher();
}

// Wakes one sleeping worker, unless one is awake and looking already. The next in turn, so that
// work goes round.
void Scheduler::wake_a_searcher() {
    shm::Header& header = process_->header();
    const unsigned words = process_->mask_words();
    if (!header.searching.empty(std::memory_order_seq_cst, words))
        return;
    for (unsigned left = header.parked.count(std::memory_order_seq_cst, words); left > 0; --left) {
        const unsigned slot =
            next_in(header.parked, (thread_state.last_woken + 1) % shm::max_processes, words);
        if (slot == none)
            return;
        thread_state.last_woken = slot;
        if (slot >= shm::first_worker_slot && wake(slot)) // the master sleeps for its own reasons
            return;
    }
}

// False when the sleeper has woken up by itself, or died, just now: then nobody would take its mark off.
bool Scheduler::wake(unsigned slot) {
    shm::Header& header = process_->header();
    header.searching.set(slot, std::memory_order_seq_cst);
    if (!header.parked.test(slot, std::memory_order_seq_cst)) {
        header.searching.clear(slot, std::memory_order_seq_cst);
        return false;
    }
    thread_state.has_woken |= process_->processes().area(slot).bell.ring();
    return true;
}

// Work in rings whose bit was lost, because a thief died or was stopped between clearing it and
// looking again. Looked for by idle workers when a sleep has timed out: O(processes), at most once
// a second.
void Scheduler::find_lost_work() {
    shm::ProcessMask& mask = process_->header().ready;
    process_->processes().for_each_backed([&](unsigned slot, ProcessArea& area) {
        if (!mask.test(slot, std::memory_order_seq_cst) && area.ready.peek())
            mask.set(slot, std::memory_order_seq_cst);
    });
}

// ---- waiting -----------------------------------------------------------------------------------

bool Scheduler::wait_until(WaitFor& what, os::Clock::time_point deadline) {
    const base::ScopeGuard no_longer([this] {
        pass_on_wake();
        thread_state.has_woken = false;
    });
    while (!what.ready()) {
        if (what.interruptible() && stop_requested())
            throw InterruptException("dshm: interrupted while waiting");
        if (may_run_ready()) {
            if (const auto awaited = what.claim_awaited()) {
                start(*awaited);
                continue;
            }
        }
        if (run_one())
            continue;
        switch (spin(what)) {
        case Spin::ready:
            return true;
        case Spin::ran_a_task:
            break;
        case Spin::in_vain:
            if (deadline != os::Clock::time_point::max() && os::Clock::now() >= deadline)
                return what.ready();
            sleep(what, deadline);
        }
    }
    return true;
}

Scheduler::Spin Scheduler::spin(WaitFor& what) {
    const std::uint64_t start = thread_state.idle_tick = os::ticks();
    Spin outcome = spin_until(what, start, thread_state.budget.ticks());
    if (outcome == Spin::ready)
        thread_state.budget.was_worth(os::ticks() - start);
    if (outcome != Spin::in_vain)
        return outcome;
    if (!process_->is_master() && thread_state.depth == 0)
        outcome = spin_long(what, start);
    if (outcome == Spin::in_vain)
        thread_state.budget.spun_in_vain();
    return outcome;
}

Scheduler::Spin Scheduler::spin_until(WaitFor& what, std::uint64_t start, std::uint64_t limit) {
    const std::uint64_t silent = silent_spin_microseconds * os::ticks_per_microsecond();
    bool announced = !may_run_ready();
    for (std::uint64_t spent = 0; spent < limit; spent = thread_state.idle_tick - start) {
        if (!announced && spent > silent) {
            process_->header().searching.set(process_->me().slot, std::memory_order_seq_cst);
            announced = true;
        }
        const bool crowded = process_->whereabouts().crowded() || thread_state.has_woken;
        for (int i = 0; i < (crowded ? 1 : 8); ++i) {
            if (what.ready())
                return Spin::ready;
            if (process_->area().inbox.peek() && run_one())
                return Spin::ran_a_task;
            os::pause();
        }
        thread_state.idle_tick = os::ticks();
        if (run_one())
            return Spin::ran_a_task;
        if (crowded)
            sched_yield();
    }
    return Spin::in_vain;
}

// One worker at a time, the last to run out of work: a later one takes the seat and the earlier one
// goes to sleep.
Scheduler::Spin Scheduler::spin_long(WaitFor& what, std::uint64_t start) {
    shm::Word64& seat = process_->header().long_spinner;
    const std::uint64_t mine = process_->me().slot + 1u;
    seat.store(mine, std::memory_order_relaxed); // relaxed: a hint about who may waste time
    const std::uint64_t slice = 20 * os::ticks_per_microsecond();
    const std::uint64_t end = start + long_spin_microseconds * os::ticks_per_microsecond();
    while (os::ticks() < end && seat.load(std::memory_order_relaxed) == mine) {
        const Spin outcome = spin_until(what, os::ticks(), slice);
        if (outcome != Spin::in_vain)
            return outcome;
    }
    return Spin::in_vain;
}

void Scheduler::sleep(WaitFor& what, os::Clock::time_point deadline) {
    std::chrono::nanoseconds limit = waiting::longest_sleep;
    if (deadline != os::Clock::time_point::max())
        limit = std::clamp<std::chrono::nanoseconds>(deadline - os::Clock::now(),
                                                     std::chrono::nanoseconds(0), limit);
    process_->holdings().release_pins_before_sleep();
    if (!process_->shared_values().empty())
        process_->shared_values().forget_dead();
    const unsigned me = process_->me().slot;
    shm::Header& header = process_->header();
    stop_searching();
    if (!process_->tasks().waiting_for_room().empty(std::memory_order_seq_cst))
        process_->holdings().make_room();
    if (process_->area().ready.peek()) {
        show_ready();
        wake_a_searcher();
    }
    clear_stale_hints();
    what.about_to_sleep();
    process_->whereabouts().leave();
    if (!stack_is_deep()) // else woken for nothing: it may not begin anything
        header.parked.set(me, std::memory_order_seq_cst); // edge `park`
    process_->counters().add(Count::parked);
    const auto start = os::Clock::now();
    const auto stop = [&] { return what.interruptible() && stop_requested(); };
    process_->area().bell.wait([&] { return what.ready() || work_visible() || stop(); }, limit);
    header.parked.clear(me, std::memory_order_seq_cst);
    process_->whereabouts().crowded(); // awake again, and here
    thread_state.idle_tick = os::ticks();
    if (!process_->is_master() && os::Clock::now() - start >= waiting::longest_sleep)
        find_lost_work();
    process_->check_session();
}

} // namespace dshm::runtime
