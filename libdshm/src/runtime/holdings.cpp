#include "dshm/runtime/holdings.hpp"

#include <algorithm>
#include <cstring>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/payload.hpp"

namespace dshm::runtime {

Holdings::Holdings(TaskTable& tasks, shm::ObjectTable& objects)
    : tasks_(&tasks), objects_(&objects),
      holds_(static_cast<Hold*>(std::calloc(shm::max_tasks, sizeof(Hold)))) {
    if (holds_ == nullptr)
        throw std::bad_alloc();
}

void Holdings::drop_moved(TaskRef task) {
    const auto at = moved_.find(key(task));
    Moved& moved = at->second;
    if (--moved.count > 0)
        return;
    if (moved.phase == TaskPhase::failed && !moved.observed)
        report_failure({moved.phase, moved.form, {moved.bytes.get(), moved.size}});
    release(moved.handles);
    moved_.erase(at);
}

void Holdings::free_ended(TaskRef task, bool observed) {
    const auto phase = tasks_->claim_finished(task);
    if (!phase)
        return; // recovery was faster: its runner died after it had ended
    const TaskRecord& record = tasks_->record(task);
    if (!observed && *phase == TaskPhase::failed)
        report_failure({*phase, record.result, payload_bytes(*tasks_, record)});
    tasks_->free_claimed(task);
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
    // seq_cst, edge `task-held`: either the finisher sees the bit cleared, or its phase is seen
    // below.
    record.control.fetch_and(~control::held, std::memory_order_seq_cst);
    const auto now = TaskState::from_bits(record.state.load(std::memory_order_seq_cst));
    if (now.generation == task.generation && is_finished(now.phase))
        free_ended(task, observed);
}

void Holdings::observe(TaskRef task) {
    const shm::PrivateLock::Guard guard(lock_);
    if (in_table(task))
        holds_[task.index].observed = 1;
    else
        moved_.at(key(task)).observed = true;
}

ResultView Holdings::view_of(TaskRef task) {
    const TaskState state = tasks_->state(task);
    if (state.generation == task.generation) {
        TaskRecord& record = tasks_->record(task);
        return {state.phase, record.result, payload_bytes(*tasks_, record)};
    }
    const Moved& moved = moved_.at(key(task));
    return {moved.phase, moved.form, {moved.bytes.get(), moved.size}};
}

bool Holdings::move_out(std::uint32_t index) {
    TaskRecord& record = tasks_->record(index);
    const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
    if (!is_finished(state.phase))
        return false;
    const TaskRef task{index, state.generation};
    const ResultView view = view_of(task);
    Moved moved{std::make_unique<std::byte[]>(view.bytes.size()),
                view.bytes.size(),
                view.phase,
                view.form,
                holds_[index].observed != 0,
                holds_[index].count,
                acquire(payload_handles(*tasks_, record))};
    std::memcpy(moved.bytes.get(), view.bytes.data(), view.bytes.size());
    moved_.emplace(key(task), std::move(moved));
    holds_[index] = {};
    return tasks_->free_finished(task);
}

void Holdings::ask_to_be_rung() {
    const shm::PrivateLock::Guard guard(lock_);
    for (std::uint32_t index = 0; index < tasks_->top(); ++index)
        if (holds_[index].count != 0)
            tasks_->record(index).control.fetch_or(control::origin_waits,
                                                   std::memory_order_seq_cst); // edge `park`
}

std::size_t Holdings::make_room() {
    const shm::PrivateLock::Guard guard(lock_);
    std::size_t freed = 0;
    for (std::uint32_t index = 0; index < tasks_->top(); ++index)
        if (holds_[index].count != 0 && move_out(index))
            ++freed;
    return freed;
}

void Holdings::pin(TaskRef task, std::span<const ship::HandleRef> handles, PinUntil until) {
    if (handles.empty())
        return;
    std::vector<ship::HandleRef> held = acquire(handles);
    if (held.empty())
        return;
    bool sweep;
    {
        const std::lock_guard guard(pins_lock_);
        pins_.push_back({task, until, std::move(held)});
        pin_count_.store(pins_.size(), std::memory_order_relaxed);
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

// Those that are still there: a list that recovery reads may be half overwritten.
std::vector<ship::HandleRef> Holdings::acquire(std::span<const ship::HandleRef> handles) {
    std::vector<ship::HandleRef> held;
    for (const ship::HandleRef& handle : handles)
        if (objects_->acquire({handle.index, static_cast<std::uint32_t>(handle.generation)}))
            held.push_back(handle);
    return held;
}

void Holdings::release(std::span<const ship::HandleRef> handles) {
    for (const ship::HandleRef& handle : handles)
        objects_->release({handle.index, static_cast<std::uint32_t>(handle.generation)});
}

void Holdings::release_pins_before_sleep() {
    constexpr std::size_t few = 256;
    constexpr std::uint64_t interval_microseconds = 10'000;
    const std::size_t pins = pin_count_.load(std::memory_order_relaxed); // relaxed: a rhythm
    const std::uint64_t since = os::ticks() - looked_at_.load(std::memory_order_relaxed);
    if (pins != 0 && (pins <= few || since > interval_microseconds * os::ticks_per_microsecond()))
        release_pins();
}

void Holdings::release_pins_after_drop() {
    // relaxed: a rhythm, nothing depends on its exactness.
    if (drops_.fetch_add(1, std::memory_order_relaxed) + 1 <
        pin_count_.load(std::memory_order_relaxed))
        return;
    drops_.store(0, std::memory_order_relaxed);
    release_pins();
}

void Holdings::release_pins() {
    looked_at_.store(os::ticks(), std::memory_order_relaxed); // relaxed: a rhythm
    std::vector<Pin> finished;
    {
        const std::lock_guard guard(pins_lock_);
        const auto split = std::partition(pins_.begin(), pins_.end(),
                                          [this](const Pin& pin) { return still_needed(pin); });
        finished.assign(std::make_move_iterator(split), std::make_move_iterator(pins_.end()));
        pins_.erase(split, pins_.end());
        pin_count_.store(pins_.size(), std::memory_order_relaxed);
        pins_sweep_at_ = std::max<std::size_t>(16, 2 * pins_.size());
    }
    for (const Pin& pin : finished)
        release(pin.handles);
}

} // namespace dshm::runtime
