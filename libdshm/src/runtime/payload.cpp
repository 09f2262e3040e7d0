#include "dshm/runtime/payload.hpp"

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace dshm::runtime {

void PayloadRoom::take_block(std::size_t size) {
    const shm::Block block = tasks_->heap().allocate(std::max<std::size_t>(size, 1), tag_);
    tasks_->set_block(tasks_->record(task_), block.offset);
    capacity_ = block.size;
}

void PayloadRoom::append(std::size_t written, const ship::HandleList& handles) {
    if (handles.size() > most_handles)
        throw std::length_error(
            "dshm: a call or result holds more than 65535 handles; put them into several");
    TaskRecord& record = tasks_->record(task_);
    const std::size_t start = base::round_up(written, alignof(ship::HandleRef));
    const std::size_t bytes = handles.size() * sizeof(ship::HandleRef);
    if (start + bytes > capacity_) {
        const PayloadForm old_form = record.form;
        const std::array<std::byte, inline_payload_size> old_payload = record.payload;
        const std::byte* from = data();
        const shm::Offset old_block = old_form == PayloadForm::block ? tasks_->block_of(record) : 0;
        take_block(start + bytes);
        std::memcpy(data(), old_block != 0 ? from : old_payload.data(), written);
        if (old_block != 0)
            tasks_->heap().free(old_block, tag_);
    }
    std::memcpy(data() + start, handles.view().data(), bytes);
    record.handles = handles.size() & most_handles;
    record.size = (start + bytes) & largest_payload;
}

namespace {

// A process that went mad may have written anything into its record: what it says must lie in the record
// or in the segment.
bool is_sound(const TaskTable& tasks, const TaskRecord& record, std::size_t listed) {
    const std::size_t size = record.size;
    if (size < listed)
        return false;
    return record.form == PayloadForm::block
               ? tasks.segment().contains(tasks.block_of(record), size)
               : record.form == PayloadForm::inline_bytes && size <= inline_payload_size;
}

} // namespace

std::span<const std::byte> payload_bytes(const TaskTable& tasks, const TaskRecord& record) {
    const std::size_t listed = record.handles * sizeof(ship::HandleRef);
    if (!is_sound(tasks, record, listed)) [[unlikely]]
        return {record.payload.data(), 0};
    return {tasks.payload(const_cast<TaskRecord&>(record)), record.size - listed};
}

std::span<const ship::HandleRef> payload_handles(const TaskTable& tasks, const TaskRecord& record) {
    const std::size_t handles = record.handles;
    if (handles == 0) [[likely]]
        return {};
    const std::span<const std::byte> bytes = payload_bytes(tasks, record);
    const auto* const first = reinterpret_cast<const ship::HandleRef*>(bytes.data() + bytes.size());
    const bool sound = is_sound(tasks, record, handles * sizeof(ship::HandleRef)) &&
                       reinterpret_cast<std::uintptr_t>(first) % alignof(ship::HandleRef) == 0;
    return {first, sound ? handles : 0};
}

void drop_payload(TaskTable& tasks, TaskRef task) {
    TaskRecord& record = tasks.record(task);
    give_up_arguments(record);
    if (record.form == PayloadForm::block) {
        const shm::Offset block = tasks.block_of(record);
        if (!tasks.heap().free(block, shm::Tag::argument(task.index, task.generation)))
            tasks.heap().free(block, shm::Tag::result(task.index, task.generation));
    }
    record.form = PayloadForm::inline_bytes;
    record.size = 0;
    record.handles = 0;
}

} // namespace dshm::runtime
