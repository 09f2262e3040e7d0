#include "dshm/runtime/recovery.hpp"

#include <cstring>

#include "dshm/os/process.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/on_worker_death.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/worker_pool.hpp"

namespace dshm::runtime {

// What it reads of tasks and messages belongs to living processes too, which may free it meanwhile.
void Recovery::bury(const Death& death) {
    clear_masks(death);
    take_back(death);
    retry();
    process_->processes().announce_change();
    // It may have died between an end and the event that tells of it.
    process_->processes().tell_everybody_to_look();
}

void Recovery::take_back(const Death& death) {
    const auto reading = process_->heap().reading();
    process_->objects().revive(death.owner);
    recover_channels(*process_, death.owner, death.id,
                     death.how.empty() ? os::describe_wait_status(death.wait_status)
                                       : std::string(death.how));
    recover_pools(*process_, death.owner, death.successor);
    sweep_tasks(death);
    process_->heap().recover(death.owner);
    sweep_blocks();
    process_->objects().recover(death.owner);
}

void Recovery::clear_masks(const Death& death) {
    shm::Header& header = process_->header();
    const unsigned slot = death.owner.slot;
    header.parked.clear(slot, std::memory_order_seq_cst);
    header.searching.clear(slot, std::memory_order_seq_cst);
    process_->whereabouts().forget(slot);
    std::uint64_t seat = slot + 1u;
    header.long_spinner.compare_exchange(seat, 0, std::memory_order_relaxed,
                                         std::memory_order_relaxed); // relaxed: a hint
    // It may have died between filling a ring and saying so, or between clearing a ring's bit and
    // looking again. What lies in the dead one's own ring is stolen as ever.
    process_->processes().for_each_backed([&](unsigned backed, ProcessArea& area) {
        if (area.ready.peek())
            header.ready.set(backed, std::memory_order_seq_cst);
    });
}

namespace {

// Arguments until the end, then the result. The caller is entered as a reader: a block that is still
// the task's after it was read of in the record keeps its pages, and is what the record told.
bool has_block(TaskTable& tasks, TaskRef task, TaskState state, shm::Offset block) {
    std::atomic_thread_fence(std::memory_order_acquire);
    const shm::Tag now = tasks.heap().tag_of(block);
    return now.bits == (is_finished(state.phase)
                            ? shm::Tag::result(task.index, task.generation).bits
                            : shm::Tag::argument(task.index, task.generation).bits);
}

// The handles listed in a record that may change while it is read: everything is checked before it
// is followed.
std::vector<ship::HandleRef> listed_handles(Process& process, TaskRef task, TaskState state) {
    TaskTable& tasks = process.tasks();
    const TaskRecord& record = tasks.record(task);
    const std::size_t bytes = record.handles * sizeof(ship::HandleRef);
    const std::size_t size = record.size;
    if (bytes == 0 || size < bytes)
        return {};
    const std::byte* start = record.payload.data();
    if (record.form == PayloadForm::block) {
        const shm::Offset block = tasks.block_of(record);
        if (!has_block(tasks, task, state, block) || size > tasks.heap().room_of(block) ||
            !process.segment().readable(block, size))
            return {};
        start = process.segment().base() + block;
    } else if (size > inline_payload_size) {
        return {};
    }
    std::vector<ship::HandleRef> handles(bytes / sizeof(ship::HandleRef));
    std::memcpy(handles.data(), start + size - bytes, bytes);
    return handles;
}

// Most records have been written by others since the last death.
template <class F>
void for_each_index(const TaskTable& tasks, std::uint32_t end, F&& f) {
    constexpr std::uint32_t ahead = 16; // a pass over 10,000: 0.07 to 0.1 ms, without 0.2
    for (std::uint32_t index = 0; index < end; ++index) {
        __builtin_prefetch(&tasks.record(index + ahead));
        f(index);
    }
}

// Payloads that `owner` has pinned objects for: arguments of what it spawned, results of what it
// ran.
bool pinned_by(shm::Owner owner, const TaskRecord& record, TaskState state) {
    if (is_finished(state.phase))
        return state.owner == owner;
    return (state.phase == TaskPhase::queued || state.phase == TaskPhase::running ||
            state.phase == TaskPhase::kept) &&
           control::Origin::get(record.control.load(std::memory_order_acquire)) == owner.bits();
}

} // namespace

// One pass for everything: a full table is larger than most caches.
void Recovery::sweep_tasks(const Death& death) {
    const TaskTable& tasks = process_->tasks();
    swept_ = {reinterpret_cast<std::uint64_t*>(swept_memory_.data()), tasks.end_of_walk()};
    shared_.clear();
    for_each_index(tasks, static_cast<std::uint32_t>(swept_.size()), [&](std::uint32_t index) {
        take_over_pins(death, index);
        sweep_task(death, index);
        swept_[index] = tasks.record(index).state.load(std::memory_order_acquire);
    });
    for (const TaskRef task : shared_)
        sweep_holder(death, task);
}

// What is held by nothing but payloads under way must not go with the process that pinned it.
void Recovery::take_over_pins(const Death& death, std::uint32_t index) {
    const TaskRecord& record = process_->tasks().record(index);
    const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
    const TaskRef task{index, state.generation};
    if (record.handles != 0 && pinned_by(death.owner, record, state))
        process_->holdings().pin(task, listed_handles(*process_, task, state),
                                 Holdings::PinUntil::freed);
}

void Recovery::sweep_task(const Death& death, std::uint32_t index) {
    TaskTable& tasks = process_->tasks();
    const auto state =
        TaskState::from_bits(tasks.record(index).state.load(std::memory_order_acquire));
    const TaskRef task{index, state.generation};
    switch (state.phase) {
    case TaskPhase::free:
        return;
    case TaskPhase::filling:
        if (state.owner == death.owner) {
            drop_payload(tasks, task);
            tasks.abandon(task);
        }
        return;
    case TaskPhase::running:
        if (state.owner == death.owner)
            sweep_running(death, task, state);
        break;
    case TaskPhase::queued:
        sweep_queued(death, task, state);
        break;
    case TaskPhase::open:
        sweep_open(death, task);
        break;
    case TaskPhase::done:
    case TaskPhase::failed:
    case TaskPhase::kept:
        break;
    }
    // A payload that is still to come may hold it by a pin of the dead one's.
    const std::uint64_t word = tasks.record(index).control.load(std::memory_order_acquire);
    if ((word & control::shared) != 0)
        shared_.push_back(task);
    else
        sweep_holder(death, task);
}

void Recovery::sweep_running(const Death& death, TaskRef task, TaskState state) {
    const TaskRecord& record = process_->tasks().record(task);
    const unsigned attempts = state.attempt + 1u;
    const bool whole = record.result == ResultForm::none;
    state.attempt = static_cast<std::uint8_t>(attempts);
    if (!whole || attempts >= most_attempts || !give_again(death, task, state))
        fail(death, task, ExitMoment::during, attempts);
}

void Recovery::sweep_queued(const Death& death, TaskRef task, TaskState state) {
    const std::uint64_t word =
        process_->tasks().record(task).control.load(std::memory_order_acquire);
    const auto target = control::Target::get(word);
    // A worker that could not be replaced was the last: the master must not run what may end it too.
    const bool nobody_left =
        target == 0 && !death.workers_left && (state.attempt != 0 || death.repeats);
    if (target == static_cast<std::uint64_t>(death.id) || nobody_left) {
        if (process_->tasks().claim_queued(task) && !give_again(death, task, state))
            fail(death, task, ExitMoment::before, state.attempt);
    } else if (control::Origin::get(word) == death.owner.bits()) {
        put_or_keep(task);
    }
}

// A task that the dead process, or this one on its behalf, is named to be running is for others
// again: for anyone, or for the worker that has come in the place of its own. False if that cannot
// be.
bool Recovery::give_again(const Death& death, TaskRef task, TaskState state) {
    const std::uint64_t word =
        process_->tasks().record(task).control.load(std::memory_order_acquire);
    const auto target = control::Target::get(word);
    const bool was_its_own = target == static_cast<std::uint64_t>(death.id);
    // One for another worker alone it had taken to end it, as by cancelling.
    if (!death.repeats || (word & control::repeatable) == 0 || (word & control::cancelled) != 0 ||
        (target == 0 ? !death.workers_left : !was_its_own || !death.successor))
        return false;
    process_->tasks().give_again(
        task, was_its_own ? static_cast<std::uint64_t>(death.successor->id) : 0, state.attempt);
    // seq_cst: either this sees that it was cancelled meanwhile, or who cancels finds it queued.
    const std::uint64_t now =
        process_->tasks().record(task).control.load(std::memory_order_seq_cst);
    if ((now & control::cancelled) != 0 && process_->tasks().claim_queued(task))
        return false;
    put_or_keep(task);
    return true;
}

// A future that lived there and that nobody has put yet: who waits for it must learn of that.
void Recovery::sweep_open(const Death& death, TaskRef task) {
    const std::uint64_t word =
        process_->tasks().record(task).control.load(std::memory_order_acquire);
    if (control::Target::get(word) == static_cast<std::uint64_t>(death.id) &&
        process_->tasks().claim_open(task))
        fail(death, task, ExitMoment::owning);
}

// Ends a task that the dead process, or this one on its behalf, is named to be running.
void Recovery::fail(const Death& death, TaskRef task, ExitMoment moment, unsigned attempts) {
    TaskTable& tasks = process_->tasks();
    const TaskRecord& record = tasks.record(task);
    // It may have died as it cancelled the task, before it gave the worker of a pool back.
    if ((record.control.load(std::memory_order_acquire) & control::pooled) != 0)
        give_back_worker(*process_, task);
    write_exit(tasks, task,
               {death.id, death.wait_status, death.os_pid, moment, record.function, attempts});
    const std::uint64_t word = tasks.finish(task, TaskPhase::failed);
    process_->scheduler().ring_waiters(task, word);
    if (!tasks.unheld(task) || !tasks.claim_finished(task))
        return;
    if ((word & control::observed) == 0)
        report_failure({TaskPhase::failed, record.result, payload_bytes(tasks, record)});
    tasks.free_claimed(task);
}

// The dead one's share, and a record that it was about to free: as its last holder, or because it
// had ended the task. One that is not shared and not its own is left to the process that is freeing
// it now.
void Recovery::sweep_holder(const Death& death, TaskRef task) {
    TaskTable& tasks = process_->tasks();
    const std::uint64_t word = tasks.record(task).control.load(std::memory_order_acquire);
    tasks.clear_share(task, death.owner);
    if (!tasks.unheld(task))
        return;
    const bool involved = (word & control::shared) != 0 ||
                          control::Origin::get(word) == death.owner.bits() ||
                          tasks.state(task).owner == death.owner;
    if (tasks.claim_open(task))
        tasks.abandon(task);
    else if (involved)
        tasks.free_finished(task);
}

namespace {

bool may_have(TaskState state, shm::Tag tag) {
    return state.phase != TaskPhase::free && state.generation == tag.generation();
}

} // namespace

// A process may die between tagging a block for a task and committing, or between freeing a record
// and its block. A block that was in order when its record was swept is left to the living, who free
// what they end: so most are told by the states noted then, and not by the records, which are 32 times
// as large.
void Recovery::sweep_blocks() {
    const TaskTable& tasks = process_->tasks();
    process_->heap().sweep_handed_over([this, &tasks](shm::Tag tag) {
        if (tag.kind() == shm::TagKind::object)
            return true;
        if (tag.index() < swept_.size()) {
            const auto then = TaskState::from_bits(swept_[tag.index()]);
            if (!is_finished(then.phase) && may_have(then, tag))
                return true;
        }
        if (tag.index() >= tasks.top())
            return false;
        const TaskRecord& record = tasks.record(tag.index());
        const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
        // An exit note has no block; whoever ends a task otherwise has freed its arguments.
        return may_have(state, tag) &&
               !(is_finished(state.phase) && record.result == ResultForm::exited);
    });
}

// What does not fit into its ring is tried again later.
void Recovery::put_or_keep(TaskRef task) {
    if (!put(task))
        unput_.push_back(task);
}

// Puts the task's entry where it belongs: a task for anyone into the launcher's own ready ring.
// False when the ring is full.
bool Recovery::put(TaskRef task) {
    TaskTable& tasks = process_->tasks();
    const std::uint64_t word = tasks.record(task).control.load(std::memory_order_acquire);
    const auto target = static_cast<WorkerId>(control::Target::get(word));
    if (target != 0)
        return put_for(target, task);
    if (process_->area().ready.put(entry_of(task)) == queue::PutResult::full)
        return false;
    process_->header().ready.set(process_->me().slot, std::memory_order_seq_cst);
    return true;
}

bool Recovery::put_for(WorkerId target, TaskRef task) {
    ProcessTable& table = process_->processes();
    if (const auto slot = table.slot_of(target)) {
        if (table.area(*slot).inbox.put(entry_of(task)) == queue::PutResult::full)
            return false;
        table.area(*slot).bell.ring();
        return true;
    }
    if (process_->tasks().claim_queued(task)) // both its ends have died
        fail_task(*process_, task, missing_worker(table, target));
    return true;
}

void Recovery::retry() {
    std::vector<TaskRef> again;
    std::swap(again, unput_);
    for (const TaskRef task : again) {
        const TaskState now = process_->tasks().state(task);
        if (now.phase == TaskPhase::queued && now.generation == task.generation)
            put_or_keep(task);
    }
    process_->holdings().release_pins();
}

} // namespace dshm::runtime
