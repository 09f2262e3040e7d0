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
#include "thread_state.hpp"

namespace dshm::runtime {

namespace {

// Most entries that a thief looks at, and copies, at once: four and two lines of cells.
constexpr std::size_t farthest_look = 32;
constexpr std::size_t largest_batch = 16;
// A thief that got fewer than this leaves the ring alone for a moment: each look takes the line
// away from the producer that is filling it, and tiny tasks are produced faster when they are taken
// in batches (5 M/s without, 10 M/s with it).
constexpr std::size_t small_batch = 4;
#ifdef DSHM_CRASH_POINTS
constexpr std::uint64_t thief_rest_nanoseconds = 0; // a victim does the same in every run
#else
constexpr std::uint64_t thief_rest_nanoseconds = 400;
#endif
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

// ---- finding work ------------------------------------------------------------------------------

std::optional<TaskRef> Scheduler::find_one() {
    if (!may_begin_tasks())
        return std::nullopt;
    if (const auto task = take_from_inbox())
        return task;
    if (!may_run_ready())
        return std::nullopt;
    const auto own = take_from_own_ready();
    return own ? own : steal();
}

bool Scheduler::may_run_ready() const {
    if (process_->is_master())
        return is_alone();
    return !process_->is_client();
}

// Nobody works and nobody comes, at one moment: the launcher says that somebody comes before it says
// that the last one is dead.
bool Scheduler::is_alone() const {
    if (process_->worker_count() != 0)
        return false;
    const std::uint64_t before = process_->processes().coming_word();
    return coming::Count::get(before) == 0 && process_->worker_count() == 0 &&
           process_->processes().coming_word() == before;
}

bool Scheduler::work_visible() const {
    if (!may_begin_tasks())
        return false;
    if (process_->area().inbox.peek())
        return true;
    return may_run_ready() &&
           !process_->header().ready.empty(std::memory_order_seq_cst, process_->mask_words());
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

// For this process, and not for the one that died in this slot before us: such an entry is dropped. Its
// task is ended or given on by the launcher, or by its sender, which looks after the put whether the
// target lives.
bool Scheduler::is_for_us(queue::Entry entry) const {
    // acquire: of a task that was given on before we began, the word says to whom.
    const std::uint64_t word =
        process_->tasks().record(entry.index).control.load(std::memory_order_acquire);
    return control::Target::get(word) == static_cast<std::uint64_t>(process_->id());
}

std::optional<TaskRef> Scheduler::take_from_inbox() {
    auto& inbox = process_->area().inbox;
    while (const auto front = inbox.peek()) {
        const auto task =
            is_for_us(front->entry) ? process_->tasks().claim(front->entry) : std::nullopt;
        advance(inbox, front->position, 1);
        if (task)
            return task;
    }
    return std::nullopt;
}

std::optional<TaskRef> Scheduler::take_from_own_ready() {
    auto& ready = process_->area().ready;
    while (const auto front = ready.peek()) {
        const auto task = process_->tasks().claim(front->entry);
        advance(ready, front->position, 1);
        if (task)
            return task;
    }
    return std::nullopt;
}

std::optional<TaskRef> Scheduler::steal() {
    const shm::ProcessMask& ready = process_->header().ready;
    const unsigned words = process_->mask_words();
    if (ready.empty(std::memory_order_relaxed, words)) // relaxed: looked at again before sleeping
        return std::nullopt;
    if (thread_state.next_theft != 0 && os::ticks() < thread_state.next_theft)
        return std::nullopt;
    unsigned victim = thread_state.last_victim;
    // Each set bit once, or a little more when bits change meanwhile.
    for (unsigned left = ready.count(std::memory_order_relaxed, words); left > 0;
         --left) { // relaxed: a bound
        victim = next_in(ready, (victim + 1) % shm::max_processes, words);
        if (victim == none)
            return std::nullopt;
        thread_state.last_victim = victim;
        if (const auto task = steal_from(victim))
            return task;
    }
    return std::nullopt;
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
std::optional<TaskRef> Scheduler::steal_from(unsigned victim) {
    auto& ring = process_->processes().area(victim).ready;
    const auto front = ring.peek();
    if (!front)
        return std::nullopt;
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
        return taken > 1 ? take_from_own_ready() : std::nullopt;
    process_->counters().add(Count::stolen, taken);
    stop_searching();
    // seq_cst, edge `park`: whoever put an entry then looked at who searches, and woke nobody while that
    // was this process; so it looks at the ring once more after its mark is gone.
    if (taken > 1 || ring.peek())
        wake_a_searcher();
    return task;
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
    thread_state.stack.has_woken |= area.bell.ring();
    if (dead())
        send_elsewhere(target, task);
}

// A target that died before the entry was there has been swept already: nobody else will end this
// task, or give it to the one in the dead one's place.
void Scheduler::send_elsewhere(const Membership::Member& dead, TaskRef task) {
    TaskTable& tasks = process_->tasks();
    const auto next = process_->processes().successor_of(dead.id);
    const std::uint64_t word = tasks.record(task).control.load(std::memory_order_acquire);
    const bool given_on = control::Target::get(word) != static_cast<std::uint64_t>(dead.id);
    if (given_on || !tasks.claim_queued(task))
        return;
    if (!next || (word & control::repeatable) == 0)
        return fail_missing(*process_, task, dead.id);
    tasks.give_again(task, static_cast<std::uint64_t>(next->id), tasks.state(task).attempt);
    send_to(*next, task);
}

void Scheduler::offer(TaskRef task) {
    // With no stack left for others' tasks and no room in the ring, the new one is run here and
    // now.
    auto run_it_here = [&] {
        const bool mine = !may_begin_tasks() && process_->tasks().claim_queued(task);
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
    thread_state.stack.has_woken |= process_->processes().area(slot).bell.ring();
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

} // namespace dshm::runtime
