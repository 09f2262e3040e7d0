// Room for a task's payload: in its record if it fits, in a heap block if not.
//
// The block carries a tag that names the task before anything is written, so a process that dies while writing leaves a block that
// recovery frees with the record. Handles found while writing are listed at the end of the payload, 16 bytes each.
#pragma once

#include <cstddef>
#include <span>

#include "dshm/runtime/task_table.hpp"
#include "dshm/ship/buffer.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm::runtime {

class PayloadRoom {
public:
    // Throws SharedMemoryExhausted, with the record as it was.
    PayloadRoom(TaskTable& tasks, TaskRef task, shm::Tag tag, const ship::Footprint& need);

    std::byte* data() const { return tasks_->payload(tasks_->record(task_)); }
    // Records the size and appends the handles; moves the payload into a larger block when they do not fit behind it.
    void close(std::size_t written, const ship::HandleList& handles);

private:
    void take_block(std::size_t size);

    TaskTable* tasks_;
    TaskRef task_;
    shm::Tag tag_;
    std::size_t capacity_ = inline_payload_size;
};

// The bytes that were written, and the handles behind them.
std::span<const std::byte> payload_bytes(const TaskTable& tasks, const TaskRecord& record);
std::span<const ship::HandleRef> payload_handles(const TaskTable& tasks, const TaskRecord& record);

// Frees the record's block, whichever of the two tags it has. The record keeps an empty inline payload.
void drop_payload(TaskTable& tasks, TaskRef task);

} // namespace dshm::runtime
