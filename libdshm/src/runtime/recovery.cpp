#include "dshm/runtime/recovery.hpp"

#include <cstring>

#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/payload.hpp"

namespace dshm::runtime {

void Recovery::bury(const Death& death) {
    clear_masks(death);
    take_over_pins(death);
    sweep_tasks(death);
    process_->heap().recover(death.owner);
    sweep_blocks();
    process_->objects().recover(death.owner);
    retry();
    process_->processes().announce_change();
    process_->processes().ring_everybody();
}

void Recovery::clear_masks(const Death& death) {
    shm::Header& header = process_->header();
    const unsigned slot = death.owner.slot;
    header.parked.clear(slot, std::memory_order_seq_cst);
    header.searching.clear(slot, std::memory_order_seq_cst);
    std::uint64_t seat = slot + 1u;
    header.long_spinner.compare_exchange(seat, 0, std::memory_order_relaxed,
                                         std::memory_order_relaxed); // relaxed: a hint
    // What lies in its ready ring can be stolen as ever, should the owner have died before it said so.
    if (process_->processes().area(slot).ready.peek())
        header.ready.set(slot, std::memory_order_seq_cst);
}

namespace {

// The handles listed in a record that may change while it is read: everything is checked before it is followed.
std::vector<ship::HandleRef> listed_handles(const Process& process, const TaskTable& tasks,
                                            const TaskRecord& record) {
    const std::size_t bytes = record.handles * sizeof(ship::HandleRef);
    const std::size_t size = record.size;
    if (bytes == 0 || size < bytes)
        return {};
    const std::byte* start = record.payload.data();
    if (record.form == PayloadForm::block) {
        const shm::Offset block = tasks.block_of(record);
        if (!process.segment().readable(block, size))
            return {};
        start = process.segment().base() + block;
    } else if (size > inline_payload_size) {
        return {};
    }
    std::vector<ship::HandleRef> handles(bytes / sizeof(ship::HandleRef));
    std::memcpy(handles.data(), start + size - bytes, bytes);
    return handles;
}

// Payloads that `owner` has pinned objects for: arguments of what it spawned, results of what it ran.
bool pinned_by(shm::Owner owner, const TaskRecord& record, TaskState state) {
    if (is_finished(state.phase))
        return state.owner == owner;
    return (state.phase == TaskPhase::queued || state.phase == TaskPhase::running) &&
           control::Origin::get(record.control.load(std::memory_order_acquire)) == owner.bits();
}

} // namespace

// Objects that are held by nothing but payloads under way must not go with the process that pinned them.
void Recovery::take_over_pins(const Death& death) {
    TaskTable& tasks = process_->tasks();
    for (std::uint32_t index = 0; index < tasks.top(); ++index) {
        const TaskRecord& record = tasks.record(index);
        const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
        if (record.handles != 0 && pinned_by(death.owner, record, state))
            process_->holdings().pin({index, state.generation},
                                     listed_handles(*process_, tasks, record),
                                     Holdings::PinUntil::freed);
    }
}

void Recovery::sweep_tasks(const Death& death) {
    for (std::uint32_t index = 0; index < process_->tasks().top(); ++index)
        sweep_task(death, index);
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
            fail(death, task, true);
        break;
    case TaskPhase::queued:
        sweep_queued(death, task);
        break;
    case TaskPhase::open:
    case TaskPhase::done:
    case TaskPhase::failed:
        break;
    }
    sweep_holder(death, task);
}

void Recovery::sweep_queued(const Death& death, TaskRef task) {
    const std::uint64_t word =
        process_->tasks().record(task).control.load(std::memory_order_acquire);
    const auto target = control::Target::get(word);
    if (target == death.owner.bits()) {
        if (process_->tasks().claim_queued(task))
            fail(death, task, false);
    } else if (control::Origin::get(word) == death.owner.bits() && !put(task)) {
        unput_.push_back(task);
    }
}

// Ends a task that the dead process, or this one on its behalf, is named to be running.
void Recovery::fail(const Death& death, TaskRef task, bool started) {
    TaskTable& tasks = process_->tasks();
    const TaskRecord& record = tasks.record(task);
    write_exit(tasks, task,
               {death.id, death.wait_status, death.os_pid, started ? 1u : 0u, record.function});
    const std::uint64_t word = tasks.finish(task, TaskPhase::failed);
    if ((word & (control::held | control::shared)) != 0)
        return;
    report_failure({TaskPhase::failed, record.result, payload_bytes(tasks, record)});
    tasks.free_finished(task);
}

void Recovery::sweep_holder(const Death& death, TaskRef task) {
    TaskTable& tasks = process_->tasks();
    TaskRecord& record = tasks.record(task);
    const std::uint64_t word = record.control.load(std::memory_order_acquire);
    if ((word & (control::held | control::shared)) == 0) { // its last holder or its runner died before freeing it
        tasks.free_finished(task);
        return;
    }
    if (control::Origin::get(word) != death.owner.bits() || (word & control::held) == 0)
        return;
    if (tasks.claim_open(task)) {
        record.form = PayloadForm::inline_bytes;
        tasks.abandon(task);
        return;
    }
    record.control.fetch_and(~control::held, std::memory_order_seq_cst); // edge `task-held`
    if (tasks.ended(task))
        tasks.free_finished(task);
}

// A process may die between tagging a block for a task and committing, or between freeing a record and its block.
void Recovery::sweep_blocks() {
    TaskTable& tasks = process_->tasks();
    process_->heap().sweep_handed_over([&tasks](shm::Tag tag) {
        if (tag.kind() == shm::TagKind::object)
            return true;
        if (tag.index() >= tasks.top())
            return false;
        const auto state = TaskState::from_bits(
            tasks.record(tag.index()).state.load(std::memory_order_acquire));
        if (state.generation != tag.generation())
            return false;
        // Arguments are gone before the end, results come before it; an exit note has no block.
        if (tag.kind() == shm::TagKind::argument)
            return state.phase != TaskPhase::free && !is_finished(state.phase);
        return state.phase != TaskPhase::free &&
               !(is_finished(state.phase) &&
                 tasks.record(tag.index()).result == ResultForm::exited);
    });
}

bool Recovery::put(TaskRef task) {
    TaskTable& tasks = process_->tasks();
    const std::uint64_t word = tasks.record(task).control.load(std::memory_order_acquire);
    const auto target = control::Target::get(word);
    ProcessArea& area = target == 0 ? process_->area()
                                    : process_->processes().area(shm::Owner::from_bits(target).slot);
    auto put_into = [&](auto& ring) { return ring.put(entry_of(task)) == queue::PutResult::done; };
    const bool done = target == 0 ? put_into(area.ready) : put_into(area.inbox);
    if (done && target == 0)
        process_->header().ready.set(process_->me().slot, std::memory_order_seq_cst);
    return done;
}

void Recovery::retry() {
    std::vector<TaskRef> again;
    std::swap(again, unput_);
    for (const TaskRef task : again)
        if (process_->tasks().state(task) == TaskState{TaskPhase::queued, {}, 0, task.generation} &&
            !put(task))
            unput_.push_back(task);
    process_->holdings().release_pins();
}

} // namespace dshm::runtime
