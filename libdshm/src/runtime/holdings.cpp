#include "dshm/runtime/holdings.hpp"

#include <algorithm>
#include <cstring>

namespace dshm::runtime {

Holdings::Holdings(TaskTable& tasks, shm::ObjectTable& objects)
    : tasks_(&tasks), objects_(&objects),
      counts_(static_cast<std::uint32_t*>(std::calloc(shm::max_tasks, sizeof(std::uint32_t)))) {
    if (counts_ == nullptr)
        throw std::bad_alloc();
}

void Holdings::add(TaskRef task) {
    const std::lock_guard guard(lock_);
    if (in_table(task))
        ++counts_[task.index];
    else
        ++moved_.at(key(task)).count;
}

void Holdings::drop(TaskRef task) {
    std::uint32_t left;
    {
        const std::lock_guard guard(lock_);
        if (!in_table(task))
            return drop_moved(task);
        left = --counts_[task.index];
        if ((left & ~observed_bit) != 0)
            return;
        counts_[task.index] = 0;
    }
    drop_last(task, (left & observed_bit) != 0);
}

void Holdings::drop_moved(TaskRef task) {
    const auto at = moved_.find(key(task));
    Moved& moved = at->second;
    if (--moved.count > 0)
        return;
    if (moved.phase == TaskPhase::failed && !moved.observed)
        report_failure({moved.phase, moved.form, {moved.bytes.get(), moved.size}});
    moved_.erase(at);
}

void Holdings::free_ended(TaskRef task, bool observed) {
    if (!observed && tasks_->state(task).phase == TaskPhase::failed)
        report_failure(view_of(task));
    tasks_->free_finished(task);
}

void Holdings::drop_last(TaskRef task, bool observed) {
    if (is_finished(tasks_->state(task).phase))
        return free_ended(task, observed);
    TaskRecord& record = tasks_->record(task);
    // An open future that nobody can put any more ends here.
    if (tasks_->claim_open(task)) {
        record.form = PayloadForm::inline_bytes;
        return tasks_->abandon(task);
    }
    // seq_cst, edge `task-held`: either the finisher sees the bit cleared, or its phase is seen below.
    record.control.fetch_and(~control::held, std::memory_order_seq_cst);
    const auto now = TaskState::from_bits(record.state.load(std::memory_order_seq_cst));
    if (now.generation == task.generation && is_finished(now.phase))
        free_ended(task, observed);
}

void Holdings::observe(TaskRef task) {
    const std::lock_guard guard(lock_);
    if (in_table(task))
        counts_[task.index] |= observed_bit;
    else
        moved_.at(key(task)).observed = true;
}

ResultView Holdings::view_of(TaskRef task) {
    const TaskState state = tasks_->state(task);
    if (state.generation == task.generation) {
        TaskRecord& record = tasks_->record(task);
        return {state.phase, record.result, {tasks_->payload(record), record.size}};
    }
    const Moved& moved = moved_.at(key(task));
    return {moved.phase, moved.form, {moved.bytes.get(), moved.size}};
}

bool Holdings::move_out(std::uint32_t index) {
    TaskRecord& record = tasks_->record(index);
    const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
    if (!is_finished(state.phase) || record.handles != 0)
        return false;
    const TaskRef task{index, state.generation};
    const ResultView view = view_of(task);
    Moved moved{std::make_unique<std::byte[]>(view.bytes.size()), view.bytes.size(), view.phase,
                view.form, (counts_[index] & observed_bit) != 0, counts_[index] & ~observed_bit};
    std::memcpy(moved.bytes.get(), view.bytes.data(), view.bytes.size());
    moved_.emplace(key(task), std::move(moved));
    counts_[index] = 0;
    return tasks_->free_finished(task);
}

std::size_t Holdings::make_room() {
    const std::lock_guard guard(lock_);
    std::size_t freed = 0;
    for (std::uint32_t index = 0; index < tasks_->top(); ++index)
        if ((counts_[index] & ~observed_bit) != 0 && move_out(index))
            ++freed;
    return freed;
}

void Holdings::pin(TaskRef task, std::span<const ship::HandleRef> handles, PinUntil until) {
    if (handles.empty())
        return;
    for (const ship::HandleRef& handle : handles)
        objects_->acquire({handle.index, static_cast<std::uint32_t>(handle.generation)});
    bool sweep;
    {
        const std::lock_guard guard(pins_lock_);
        pins_.push_back({task, until, {handles.begin(), handles.end()}});
        sweep = pins_.size() >= pins_sweep_at_;
    }
    if (sweep)
        release_pins();
}

bool Holdings::still_needed(const Pin& pin) const {
    const TaskState now = tasks_->state(pin.task);
    return now.generation == pin.task.generation && now.phase != TaskPhase::free &&
           (pin.until == PinUntil::freed || !is_finished(now.phase));
}

void Holdings::release(const Pin& pin) {
    for (const ship::HandleRef& handle : pin.handles)
        objects_->release({handle.index, static_cast<std::uint32_t>(handle.generation)});
}

void Holdings::release_pins() {
    std::vector<Pin> finished;
    {
        const std::lock_guard guard(pins_lock_);
        const auto split = std::partition(pins_.begin(), pins_.end(),
                                          [this](const Pin& pin) { return still_needed(pin); });
        finished.assign(std::make_move_iterator(split), std::make_move_iterator(pins_.end()));
        pins_.erase(split, pins_.end());
        pins_sweep_at_ = std::max<std::size_t>(16, 2 * pins_.size());
    }
    for (const Pin& pin : finished)
        release(pin);
}

} // namespace dshm::runtime
