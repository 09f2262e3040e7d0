#include "dshm/runtime/task_table.hpp"

#include <algorithm>
#include <cstring>
#include <exception>

#include "dshm/runtime/process_table.hpp"

namespace dshm::runtime {

namespace {

// Records that the table grows by: those of one chunk of the file.
constexpr std::uint32_t records_per_chunk = shm::chunk_size / shm::task_record_size;
// Records looked at before the table grows instead: a full chunk, so that a scan costs less than a
// page.
constexpr std::uint32_t scan_limit = records_per_chunk;
// More than a process frees at once; the rest is found by a scan.
constexpr std::size_t most_hints = 8192;

} // namespace

std::optional<TaskRef> TaskTable::try_reserve(std::uint32_t index) const {
    TaskRecord& record = records_[index];
    const auto seen = TaskState::from_bits(record.state.load(std::memory_order_relaxed));
    // relaxed: the swap decides, and acquires what the last user left (edge `task-free`).
    if (seen.phase != TaskPhase::free ||
        !change(record, seen, {TaskPhase::filling, me_, 0, seen.generation}))
        return std::nullopt;
    return TaskRef{index, seen.generation};
}

std::optional<TaskRef> TaskTable::reserve() {
    const shm::PrivateLock::Guard guard(lock_);
    while (!hints_.empty()) {
        if (auto task = try_reserve(take_hint()))
            return task;
    }
    return reserve_by_scan();
}

// A short look at what others have freed, then growth, then the whole table: only a full table, or a
// full file system, pays for that.
std::optional<TaskRef> TaskTable::reserve_by_scan() {
    if (auto task = scan(scan_limit))
        return task;
    std::exception_ptr exhausted;
    try {
        while (extend())
            if (auto task = try_reserve(take_hint()))
                return task;
    } catch (const SharedMemoryExhausted&) {
        exhausted = std::current_exception();
    }
    auto task = scan(shm::max_tasks);
    if (!task && exhausted)
        std::rethrow_exception(exhausted);
    return task;
}

std::optional<TaskRef> TaskTable::scan(std::uint32_t most) {
    const std::uint32_t end = top();
    for (std::uint32_t i = 0; i < std::min(most, end); ++i) {
        cursor_ = cursor_ + 1 < end ? cursor_ + 1 : 0;
        if (auto task = try_reserve(cursor_))
            return task;
    }
    return std::nullopt;
}

std::uint32_t TaskTable::take_hint() {
    const std::uint32_t index = hints_.back();
    hints_.pop_back();
    return index;
}

// Moves the top over one more chunk of records and remembers them as hints, lowest on top. False
// when there is none.
bool TaskTable::extend() {
    shm::Word64& top_word = segment_->header().task_top;
    std::uint64_t first = top_word.load(std::memory_order_acquire);
    do {
        if (first > shm::max_tasks - records_per_chunk)
            return false;
        backing_.ensure(segment_->geometry().tasks + first * shm::task_record_size,
                        records_per_chunk * shm::task_record_size);
    } while (!top_word.compare_exchange(first, first + records_per_chunk, std::memory_order_acq_rel,
                                        std::memory_order_acquire));
    for (std::uint32_t i = records_per_chunk; i-- > 0;)
        hints_.push_back(static_cast<std::uint32_t>(first) + i);
    return true;
}

std::optional<TaskRef> TaskTable::claim(queue::Entry entry) const {
    TaskRecord& record = records_[entry.index];
    // acquire, edge `task-queued`.
    const auto seen = TaskState::from_bits(record.state.load(std::memory_order_acquire));
    if (seen.phase != TaskPhase::queued ||
        (seen.generation & queue::entry_generation_mask) != entry.generation ||
        !change(record, seen, {TaskPhase::running, me_, seen.attempt, seen.generation}))
        return std::nullopt;
    return TaskRef{entry.index, seen.generation};
}

bool TaskTable::claim_open(TaskRef task) const {
    return change(record(task), {TaskPhase::open, {}, 0, task.generation},
                  {TaskPhase::running, me_, 0, task.generation});
}

bool TaskTable::claim_queued(TaskRef task) const {
    const TaskState seen = state(task);
    return seen.phase == TaskPhase::queued && seen.generation == task.generation &&
           change(record(task), seen, {TaskPhase::running, me_, seen.attempt, task.generation});
}

void TaskTable::give_again(TaskRef task, std::uint64_t target, unsigned attempt) const {
    TaskRecord& record = records_[task.index];
    std::uint64_t word =
        record.control.load(std::memory_order_relaxed); // relaxed: the swap decides
    while (!record.control.compare_exchange(
        word, (word & ~control::Target::mask) | control::Target::put(target),
        std::memory_order_acq_rel, std::memory_order_relaxed)) {
    }
    const TaskState again{
        TaskPhase::queued, {}, static_cast<std::uint8_t>(attempt), task.generation};
    // seq_cst: edge `task-queued`, and before the look at whether it was cancelled.
    record.state.store(again.bits(), std::memory_order_seq_cst);
}

std::uint64_t TaskTable::finish(TaskRef task, TaskPhase phase) const {
    TaskRecord& record = records_[task.index];
    // seq_cst, edges `task-done` (release: the result is written), `task-held` and `park`: either
    // the waiter's second look comes later and sees the phase, or its origin_waits bit came earlier
    // and is seen below.
    record.state.exchange(TaskState{phase, me_, 0, task.generation}.bits(),
                          std::memory_order_seq_cst);
    return record.control.load(std::memory_order_seq_cst);
}

// ---- holders -----------------------------------------------------------------------------------

void TaskTable::allow_shares(TaskRef task) const {
    TaskRecord& record = records_[task.index];
    // relaxed: only holders set it, and before they send the handle that makes it matter.
    if ((record.control.load(std::memory_order_relaxed) & control::shared) == 0)
        record.control.fetch_or(control::shared, std::memory_order_seq_cst);
}

// First the bit, then the count, then the look at the state: see unheld().
bool TaskTable::take_share(TaskRef task) const {
    TaskRecord& record = records_[task.index];
    const auto there = [&] {
        const auto now = TaskState::from_bits(record.state.load(std::memory_order_seq_cst));
        return now.generation == task.generation && now.phase != TaskPhase::free;
    };
    if (!there())
        return false;
    allow_shares(task);
    if (is_origin(record))
        record.control.fetch_or(control::held, std::memory_order_seq_cst);
    else
        record.holders.set(me_.slot, std::memory_order_seq_cst);
    record.shares.fetch_add(1, std::memory_order_seq_cst);
    if (there())
        return true;
    leave_share(task);
    return false;
}

void TaskTable::leave_share(TaskRef task) const {
    TaskRecord& record = records_[task.index];
    // seq_cst, edge `task-held`: of two that leave, or one that leaves and one that ends the task,
    // at least one sees what the other did.
    if (is_origin(record))
        record.control.fetch_and(~control::held, std::memory_order_seq_cst);
    else
        record.holders.clear(me_.slot, std::memory_order_seq_cst);
}

void TaskTable::clear_share(TaskRef task, shm::Owner dead) const {
    TaskRecord& record = records_[task.index];
    const std::uint64_t word = record.control.load(std::memory_order_acquire);
    if (control::Origin::get(word) == dead.bits() && (word & control::held) != 0)
        record.control.fetch_and(~control::held, std::memory_order_seq_cst); // edge `task-held`
    if ((word & control::shared) != 0)
        record.holders.clear(dead.slot, std::memory_order_seq_cst);
}

// A share may move from one word to another while the words are read one by one: somebody takes one
// under ours, then we go. Whoever takes one counts it before the one that it came from can go, so a
// count that has not changed makes the look a snapshot.
bool TaskTable::unheld(TaskRef task) const {
    const TaskRecord& record = records_[task.index];
    // seq_cst throughout, edge `task-held`. Nearly always this is all, and the last line is not read.
    if ((record.control.load(std::memory_order_seq_cst) & control::held) != 0)
        return false;
    for (;;) {
        const std::uint64_t before = record.shares.load(std::memory_order_seq_cst);
        const std::uint64_t word = record.control.load(std::memory_order_seq_cst);
        if ((word & control::held) != 0)
            return false;
        if ((word & control::shared) == 0)
            return true;
        if (!record.holders.empty(std::memory_order_seq_cst))
            return false;
        if (record.shares.load(std::memory_order_seq_cst) == before)
            return true;
    }
}

void TaskTable::announce_waiting(TaskRef task) const {
    TaskRecord& record = records_[task.index];
    // seq_cst, edge `park`: either the finisher sees the bit, or the second look sees the task
    // ended. A record that serves another task by now gets a bit that costs it needless rings.
    if (is_origin(record))
        record.control.fetch_or(control::origin_waits, std::memory_order_seq_cst);
    else
        record.waiters.fetch_or(shm::ProcessMask::bit(me_.slot), std::memory_order_seq_cst);
}

// ---- ending and freeing -------------------------------------------------------------------------

std::optional<TaskPhase> TaskTable::claim_finished(TaskRef task) const {
    const TaskState seen = state(task);
    if (seen.generation != task.generation || !is_finished(seen.phase) ||
        !change(record(task), seen, {TaskPhase::filling, me_, 0, seen.generation}))
        return std::nullopt;
    return seen.phase;
}

void TaskTable::free_claimed(TaskRef task) {
    const TaskRecord& record = records_[task.index];
    if (record.form == PayloadForm::block)
        heap_->free(block_of(record), shm::Tag::result(task.index, task.generation));
    release(task);
}

void TaskTable::abandon(TaskRef task) {
    TaskRecord& record = records_[task.index];
    if (record.form == PayloadForm::block)
        heap_->free(block_of(record), shm::Tag::argument(task.index, task.generation));
    release(task);
}

void TaskTable::publish_finished(TaskRef task, TaskPhase phase) const {
    // release, edge `task-done`.
    record(task).state.store(TaskState{phase, me_, 0, task.generation}.bits(),
                             std::memory_order_release);
}

void TaskTable::release(TaskRef task) {
    TaskRecord& freed = record(task);
    // relaxed: ours alone, and published by the state.
    if ((freed.control.load(std::memory_order_relaxed) & control::shared) != 0)
        freed.waiters.store(0, std::memory_order_relaxed);
    // release, edge `task-free`: whoever reserves the record finds the last use ended.
    freed.state.store(TaskState{TaskPhase::free, {}, 0, task.generation + 1}.bits(),
                      std::memory_order_release);
    {
        const shm::PrivateLock::Guard guard(lock_);
        if (hints_.size() < most_hints)
            hints_.push_back(task.index);
    }
    if (!waiting_for_room().empty(std::memory_order_relaxed))
        [[unlikely]] // relaxed: who sleeps looks again within a second
        waiting_for_room().for_each(std::memory_order_relaxed, [this](unsigned slot) {
            if (const ProcessTable processes(*segment_); processes.backed(slot))
                processes.area(slot).bell.ring();
        });
}

shm::Offset TaskTable::block_of(const TaskRecord& record) const {
    shm::Offset block;
    std::memcpy(&block, record.payload.data(), sizeof block);
    return block;
}

void TaskTable::set_block(TaskRecord& record, shm::Offset block) const {
    std::memcpy(record.payload.data(), &block, sizeof block);
    record.form = PayloadForm::block;
}

} // namespace dshm::runtime
