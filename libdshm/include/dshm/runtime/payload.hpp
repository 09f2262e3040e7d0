// Room for a task's payload: in its record if it fits, in a heap block if not.
//
// The block carries a tag that names the task before anything is written, so a process that dies
// while writing leaves a block that recovery frees with the record. Handles found while writing are
// listed at the end of the payload, 16 bytes each.
#pragma once

#include <atomic>
#include <cstddef>
#include <span>

#include "dshm/runtime/task_table.hpp"
#include "dshm/ship/buffer.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm::runtime {

// From here on the arguments are not as they were sent: a task whose process dies now is not begun
// anew. What was written before a death is there after it, so only the compiler has to be told.
inline void give_up_arguments(TaskRecord& record) {
    record.result = ResultForm::value;
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

class PayloadRoom {
public:
    // Throws SharedMemoryExhausted, also for what no segment could hold, with the record as it was.
    PayloadRoom(TaskTable& tasks, TaskRef task, shm::Tag tag, const ship::Footprint& need)
        : tasks_(&tasks), task_(task), tag_(tag) {
        if (need.size > inline_payload_size || need.alignment > record_alignment)
            take_block(need.size);
        else
            tasks.record(task).form = PayloadForm::inline_bytes;
        tasks.record(task).handles = 0;
    }

    std::byte* data() const { return tasks_->payload(tasks_->record(task_)); }
    // Records the size and appends the handles; moves the payload into a larger block when they do
    // not fit behind it.
    void close(std::size_t written, const ship::HandleList& handles) {
        tasks_->record(task_).size = written & largest_payload;
        if (!handles.empty()) [[unlikely]]
            append(written, handles);
    }

private:
    static constexpr std::size_t record_alignment = 32; // of the payload in a record

    void take_block(std::size_t size);
    void append(std::size_t written, const ship::HandleList& handles);

    TaskTable* tasks_;
    TaskRef task_;
    shm::Tag tag_;
    std::size_t capacity_ = inline_payload_size;
};

// The bytes that were written, and the handles behind them. None of a record that says what cannot be.
std::span<const std::byte> payload_bytes(const TaskTable& tasks, const TaskRecord& record);
std::span<const ship::HandleRef> payload_handles(const TaskTable& tasks, const TaskRecord& record);

// Frees the record's block, whichever of the two tags it has. The record keeps an empty inline
// payload.
void drop_payload(TaskTable& tasks, TaskRef task);

} // namespace dshm::runtime
