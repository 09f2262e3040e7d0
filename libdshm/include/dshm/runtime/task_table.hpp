// The tasks of a session, and the steps of their life as one process takes them.
//
// Every step is one atomic write to a record's state word (task_record.hpp). What the steps
// guarantee when their author dies in between is stated at each; `Recovery` (recovery.hpp) does the
// rest.
//
// Finding a free record costs nothing but a private stack of hints in the common case: records that
// this process freed itself.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "dshm/queue/index_ring.hpp"
#include "dshm/runtime/task_record.hpp"
#include "dshm/shm/heap.hpp"
#include "dshm/shm/private_lock.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::runtime {

constexpr queue::Entry entry_of(TaskRef task) {
    return {static_cast<std::uint16_t>(task.index), task.generation & queue::entry_generation_mask};
}

class TaskTable {
public:
    TaskTable(shm::Segment& segment, shm::Heap& heap, shm::Owner me)
        : segment_(&segment), heap_(&heap), me_(me), backing_(segment.backing()),
          records_(segment.at<TaskRecord>(segment.geometry().tasks)) {}

    TaskRecord& record(std::uint32_t index) const { return records_[index]; }
    TaskRecord& record(TaskRef task) const { return records_[task.index]; }

    // acquire, edge `task-done`: whoever sees a finished phase sees the result.
    TaskState state(TaskRef task) const {
        return TaskState::from_bits(record(task).state.load(std::memory_order_acquire));
    }
    // True when the task has ended, or its record already serves another task.
    bool ended(TaskRef task) const {
        const TaskState now = state(task);
        return now.generation != task.generation || is_finished(now.phase);
    }

    // free → filling(me). Nothing when every record is in use. Throws SharedMemoryExhausted when
    // the table cannot grow.
    std::optional<TaskRef> reserve();

    // filling(me) → queued: the commit of a spawn. A spawner that dies after it, before the entry
    // is in a ring, is made up for by recovery, which puts the entry.
    void publish(TaskRef task) const { commit(task, TaskPhase::queued); }
    // filling(me) → open: a future without a task, that somebody will put.
    void publish_open(TaskRef task) const { commit(task, TaskPhase::open); }

    // filling(me) → kept: a call that is remembered for later workers.
    void publish_kept(TaskRef task) const { commit(task, TaskPhase::kept); }

    // queued → running(me): the commit of a take. Nothing when the entry is stale.
    std::optional<TaskRef> claim(queue::Entry entry) const;
    // open → running(me): the commit of a put. False when the future has been put before.
    bool claim_open(TaskRef task) const;
    // queued → running(me) for a task that is known by name, such as one whose target has died.
    bool claim_queued(TaskRef task) const;
    // running(me, or a dead process) → queued: for the launcher, which decides alone what becomes of
    // it. `target`: the worker that alone may run it now, or 0. Its arguments must be as they were.
    void give_again(TaskRef task, std::uint64_t target, unsigned attempt) const;

    // filling(me) → done or failed, for a result that was made before.
    void publish_finished(TaskRef task, TaskPhase phase) const;

    // running(me) → done or failed: the commit of a result. Gives the control word as it was at
    // that moment.
    std::uint64_t finish(TaskRef task, TaskPhase phase) const;

    // done or failed → filling(me): the commit of a free. Nothing when somebody else was faster.
    // The payload is still there.
    std::optional<TaskPhase> claim_finished(TaskRef task) const;
    // filling(me) → free, with the payload's block.
    void free_claimed(TaskRef task);
    // Both.
    bool free_finished(TaskRef task) {
        const bool mine = claim_finished(task).has_value();
        if (mine)
            free_claimed(task);
        return mine;
    }
    // filling(me) → free: a call that was not sent after all.
    void abandon(TaskRef task);

    // ---- holders ------------------------------------------------------------------------------

    // Says that processes other than the origin may hold it from now on. Before a handle is sent.
    void allow_shares(TaskRef task) const;
    // This process's share: as the origin, or as another holder. False when the task is gone;
    // otherwise somebody else's share, or a pin, must have lasted all the while.
    bool take_share(TaskRef task) const;
    void leave_share(TaskRef task) const;
    // A dead process's share, for the launcher.
    void clear_share(TaskRef task, shm::Owner dead) const;
    // Nobody holds it, and nobody will. To be asked after the caller's own change: a share left, or
    // the end of the task.
    bool unheld(TaskRef task) const;
    // This process is about to sleep for the end of the task.
    void announce_waiting(TaskRef task) const;

    // The payload of a record that this process may read or write.
    std::byte* payload(TaskRecord& record) const {
        return record.form == PayloadForm::inline_bytes ? record.payload.data()
                                                        : segment_->base() + block_of(record);
    }
    shm::Offset block_of(const TaskRecord& record) const;
    void set_block(TaskRecord& record, shm::Offset block) const;

    // Processes that wait for a free record: whoever frees one rings them, and whoever waits makes
    // room for them.
    shm::ProcessMask& waiting_for_room() const { return segment_->header().table_waiters; }

    shm::Owner me() const { return me_; }
    shm::Segment& segment() const { return *segment_; }
    shm::Heap& heap() const { return *heap_; }
    // Records that have ever been used; none beyond may be touched. Never more than there are.
    std::uint32_t top() const {
        return static_cast<std::uint32_t>(std::min<std::uint64_t>(
            segment_->header().task_top.load(std::memory_order_acquire), shm::max_tasks));
    }
    // The same for walks of recovery, which believe of the top only what has pages.
    std::uint32_t end_of_walk() const {
        return static_cast<std::uint32_t>(
            backing_.records_with_pages(segment_->geometry().tasks, shm::task_record_size, top()));
    }

private:
    // release, edge `task-queued`: whoever claims the task sees all that was written into it.
    void commit(TaskRef task, TaskPhase phase) const {
        record(task).state.store(TaskState{phase, {}, 0, task.generation}.bits(),
                                 std::memory_order_release);
    }
    bool change(TaskRecord& record, TaskState from, TaskState to) const {
        std::uint64_t expected = from.bits();
        return record.state.compare_exchange(expected, to.bits(), std::memory_order_acq_rel,
                                             std::memory_order_relaxed);
    }
    bool is_origin(const TaskRecord& record) const {
        // relaxed: does not change while the task lives.
        return control::Origin::get(record.control.load(std::memory_order_relaxed)) == me_.bits();
    }
    std::optional<TaskRef> try_reserve(std::uint32_t index) const;
    std::optional<TaskRef> reserve_by_scan();
    std::optional<TaskRef> scan(std::uint32_t most);
    std::uint32_t take_hint();
    bool extend();
    void release(TaskRef task);

    shm::Segment* segment_;
    shm::Heap* heap_;
    shm::Owner me_;
    shm::Backing backing_;
    TaskRecord* records_;
    shm::PrivateLock lock_;
    std::vector<std::uint32_t> hints_;
    std::uint32_t cursor_ = 0;
};

} // namespace dshm::runtime
