#include "dshm/runtime/holdings.hpp"

#include <algorithm>
#include <cstring>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/process_table.hpp"

namespace dshm::runtime {

Holdings::Holdings(TaskTable& tasks, shm::ObjectTable& objects)
    : tasks_(&tasks), objects_(&objects),
      holds_(static_cast<Hold*>(std::calloc(shm::max_tasks, sizeof(Hold)))) {
    if (holds_ == nullptr)
        throw std::bad_alloc();
}

bool Holdings::acquire_locked(TaskRef task) {
    Hold& hold = holds_[task.index];
    if (in_table(task)) {
        ++hold.count;
        return true;
    }
    if (const auto moved = moved_.find(key(task)); moved != moved_.end()) {
        ++moved->second.count;
        return true;
    }
    // Held under another generation: the task is gone.
    if (hold.count != 0 || (!payloads_.contains(key(task)) && !tasks_->take_share(task)))
        return false;
    hold = {task.generation, 1};
    return true;
}

bool Holdings::acquire_for_payload(const ship::HandleRef& handle) {
    const TaskRef task{handle.index, static_cast<std::uint32_t>(handle.generation)};
    if (handle.kind != handle_kind::task)
        return objects_->acquire({task.index, task.generation});
    if (task.index >= tasks_->top())
        return false;
    const auto known = payloads_.find(key(task));
    if (known != payloads_.end()) {
        ++known->second;
        return true;
    }
    if (!in_table(task) && !tasks_->take_share(task))
        return false;
    payloads_.emplace(key(task), 1);
    return true;
}

// Those that are still there: a list that recovery reads may be half overwritten.
std::vector<ship::HandleRef>
Holdings::acquire_for_payload(std::span<const ship::HandleRef> handles) {
    std::vector<ship::HandleRef> held;
    for (const ship::HandleRef& handle : handles)
        if (acquire_for_payload(handle))
            held.push_back(handle);
    return held;
}

void Holdings::release_for_payload(TaskRef task) {
    {
        const shm::PrivateLock::Guard guard(lock_);
        const auto known = payloads_.find(key(task));
        if (--known->second != 0)
            return;
        payloads_.erase(known);
        if (in_table(task))
            return;
    }
    drop_last(task, false);
}

// The last handle is gone, and a payload still needs the task.
void Holdings::keep_for_payloads(TaskRef task, bool observed) {
    if (observed)
        note_seen(task);
}

void Holdings::drop_moved(TaskRef task) {
    decltype(moved_)::node_type last;
    {
        const shm::PrivateLock::Guard guard(lock_);
        const auto at = moved_.find(key(task));
        if (--at->second.count > 0)
            return;
        last = moved_.extract(at);
    }
    const Moved& moved = last.mapped();
    if (moved.phase == TaskPhase::failed && !moved.observed)
        report_failure({moved.phase, moved.form, {moved.bytes.get(), moved.size}});
    release(moved.handles);
    if (moved.republished) {
        observe(*moved.republished); // its failure is printed above, or by who fetches it
        drop(*moved.republished);
    }
}

std::optional<Holdings::Copy> Holdings::moved_copy(TaskRef task) {
    const shm::PrivateLock::Guard guard(lock_);
    if (in_table(task))
        return std::nullopt;
    const Moved& moved = moved_.at(key(task));
    return Copy{moved.phase,
                moved.form,
                {moved.bytes.get(), moved.bytes.get() + moved.size},
                moved.handles};
}

std::optional<TaskRef> Holdings::republished(TaskRef task) {
    const shm::PrivateLock::Guard guard(lock_);
    const auto at = moved_.find(key(task));
    return at == moved_.end() ? std::nullopt : at->second.republished;
}

bool Holdings::note_republished(TaskRef task, TaskRef record) {
    const shm::PrivateLock::Guard guard(lock_);
    std::optional<TaskRef>& known = moved_.at(key(task)).republished;
    if (known)
        return false;
    known = record;
    return true;
}

void Holdings::free_ended(TaskRef task, bool observed) {
    const auto phase = tasks_->claim_finished(task);
    if (!phase)
        return; // recovery was faster: its runner died after it had ended
    const TaskRecord& record = tasks_->record(task);
    // relaxed: set by a holder, before it left its share.
    const bool seen =
        observed || (record.control.load(std::memory_order_relaxed) & control::observed) != 0;
    if (!seen && *phase == TaskPhase::failed)
        report_failure({*phase, record.result, payload_bytes(*tasks_, record)});
    const auto listed = payload_handles(*tasks_, record);
    if (listed.empty()) [[likely]]
        return tasks_->free_claimed(task);
    const std::vector<ship::HandleRef> handles(listed.begin(), listed.end());
    tasks_->free_claimed(task);
    ring_holders(handles);
}

// Whoever made the result has pinned them until now, and may sleep.
void Holdings::ring_holders(std::span<const ship::HandleRef> handles) const {
    const ProcessTable processes(tasks_->segment());
    for (const ship::HandleRef& handle : handles)
        if (handle.kind == handle_kind::object)
            objects_->for_each_holder({handle.index, static_cast<std::uint32_t>(handle.generation)},
                                      [&](unsigned slot) {
                                          if (slot != tasks_->me().slot && processes.backed(slot))
                                              processes.area(slot).bell.ring();
                                      });
}

void Holdings::drop_last(TaskRef task, bool observed) {
    // relaxed: a task that is not shared has no holder but this process, so nobody can share it.
    const auto word = tasks_->record(task).control.load(std::memory_order_relaxed);
    if ((word & control::shared) == 0 && is_finished(tasks_->state(task).phase)) [[likely]]
        return free_ended(task, observed);
    tasks_->leave_share(task);
    settle(task, observed);
}

// Frees a task that nobody holds any more, or leaves that to whoever ends it.
void Holdings::settle(TaskRef task, bool observed) {
    const TaskState now = tasks_->state(task);
    if (now.generation != task.generation || !tasks_->unheld(task))
        return;
    if (is_finished(now.phase))
        free_ended(task, observed);
    else if (now.phase == TaskPhase::open && tasks_->claim_open(task)) // nobody can put it any more
        tasks_->abandon(task);
}

void Holdings::observe(TaskRef task) {
    const shm::PrivateLock::Guard guard(lock_);
    if (!in_table(task)) {
        moved_.at(key(task)).observed = true;
        return;
    }
    holds_[task.index].observed = 1;
    note_seen(task);
}

// For the other holders, one of whom may be the last: relaxed, because that one leaves after this.
void Holdings::note_seen(TaskRef task) {
    TaskRecord& record = tasks_->record(task);
    if (tasks_->state(task).phase == TaskPhase::failed &&
        (record.control.load(std::memory_order_relaxed) & control::shared) != 0)
        record.control.fetch_or(control::observed, std::memory_order_relaxed);
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

// The result goes on living here; the share in the record ends.
bool Holdings::move_out(std::uint32_t index) {
    TaskRecord& record = tasks_->record(index);
    const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
    const TaskRef task{index, state.generation};
    if (!is_finished(state.phase) || payloads_.contains(key(task)))
        return false;
    const ResultView view = view_of(task);
    Moved moved{std::make_unique<std::byte[]>(view.bytes.size()),
                view.bytes.size(),
                view.phase,
                view.form,
                holds_[index].observed != 0,
                holds_[index].count,
                acquire_for_payload(payload_handles(*tasks_, record)),
                std::nullopt};
    std::memcpy(moved.bytes.get(), view.bytes.data(), view.bytes.size());
    moved_.emplace(key(task), std::move(moved));
    holds_[index] = {};
    tasks_->leave_share(task);
    return tasks_->unheld(task) && tasks_->free_finished(task);
}

void Holdings::ask_to_be_rung() {
    const shm::PrivateLock::Guard guard(lock_);
    for (std::uint32_t index = 0; index < tasks_->top(); ++index)
        if (holds_[index].count != 0)
            tasks_->announce_waiting({index, holds_[index].generation});
}

std::size_t Holdings::make_room() {
    const shm::PrivateLock::Guard guard(lock_);
    std::size_t freed = 0;
    for (std::uint32_t index = 0; index < tasks_->top(); ++index)
        if (holds_[index].count != 0 && move_out(index))
            ++freed;
    return freed;
}

std::vector<ship::HandleRef> Holdings::hold(std::span<const ship::HandleRef> handles) {
    if (handles.empty())
        return {};
    const shm::PrivateLock::Guard guard(lock_);
    return acquire_for_payload(handles);
}

void Holdings::pin(TaskRef task, std::span<const ship::HandleRef> handles, PinUntil until) {
    if (handles.empty())
        return;
    std::vector<ship::HandleRef> held;
    {
        const shm::PrivateLock::Guard guard(lock_);
        held = acquire_for_payload(handles);
    }
    if (held.empty())
        return;
    keep({task, until, std::move(held)});
}

void Holdings::pin_block(shm::Offset block, shm::Tag tag,
                         std::span<const ship::HandleRef> handles) {
    Pin pin{{}, PinUntil::freed, {}, block, tag};
    {
        const shm::PrivateLock::Guard guard(lock_);
        pin.handles = acquire_for_payload(handles);
    }
    if (!pin.handles.empty())
        keep(std::move(pin));
}

void Holdings::keep(Pin pin) {
    bool sweep;
    {
        const std::lock_guard guard(pins_lock_);
        count_pinned(pin.handles, +1);
        pins_.push_back(std::move(pin));
        pin_count_.store(pins_.size(), std::memory_order_relaxed);
        sweep = pins_.size() >= pins_sweep_at_;
    }
    if (sweep)
        release_pins();
}

bool Holdings::still_needed(const Pin& pin) const {
    if (pin.block != 0) {
        const shm::Tag now = tasks_->heap().tag_of(pin.block);
        return now.bits == pin.tag.bits || now.bits == shm::Tag::own(tasks_->me()).bits;
    }
    const TaskState now = tasks_->state(pin.task);
    return now.generation == pin.task.generation && now.phase != TaskPhase::free &&
           (pin.until == PinUntil::freed || !is_finished(now.phase));
}

void Holdings::release(std::span<const ship::HandleRef> handles) {
    for (const ship::HandleRef& handle : handles) {
        const auto generation = static_cast<std::uint32_t>(handle.generation);
        if (handle.kind == handle_kind::task)
            release_for_payload({handle.index, generation});
        else
            objects_->release({handle.index, generation});
    }
}

void Holdings::release_pins_before_sleep() {
    constexpr std::size_t few = 256;
    constexpr std::uint64_t interval_microseconds = 10'000;
    const std::size_t pins = pin_count_.load(std::memory_order_relaxed); // relaxed: a rhythm
    const std::uint64_t since = os::ticks() - looked_at_.load(std::memory_order_relaxed);
    if (pins != 0 && (pins <= few || since > interval_microseconds * os::ticks_per_microsecond()))
        release_pins();
}

void Holdings::release_pins_after_drop(shm::ObjectTable::Ref object) {
    // relaxed: a rhythm, nothing depends on its exactness.
    const bool due = drops_.fetch_add(1, std::memory_order_relaxed) + 1 >=
                     pin_count_.load(std::memory_order_relaxed);
    if (!due && !only_pins_hold(object))
        return;
    drops_.store(0, std::memory_order_relaxed);
    release_pins();
}

// Then the program has dropped its last handle, and expects the object to go.
bool Holdings::only_pins_hold(shm::ObjectTable::Ref object) {
    constexpr std::size_t many = 4096; // 20 µs
    const std::size_t handles = objects_->handles(object);
    if (handles == 0)
        return false;
    const std::lock_guard guard(pins_lock_);
    const auto pinned = pinned_.find(object.index);
    return pins_.size() <= many && pinned != pinned_.end() && pinned->second >= handles;
}

void Holdings::count_pinned(std::span<const ship::HandleRef> handles, int change) {
    for (const ship::HandleRef& handle : handles) {
        if (handle.kind != handle_kind::object)
            continue;
        std::uint32_t& count = pinned_[handle.index];
        count = static_cast<std::uint32_t>(static_cast<int>(count) + change);
        if (count == 0)
            pinned_.erase(handle.index);
    }
}

// Moves them to the end. A message's block may be freed by its taker and lose its pages at any time, so
// this process is entered as a reader if there is one.
std::vector<Holdings::Pin>::iterator Holdings::finished_pins() {
    const auto sort = [this] {
        return std::partition(pins_.begin(), pins_.end(),
                              [this](const Pin& pin) { return still_needed(pin); });
    };
    if (std::none_of(pins_.begin(), pins_.end(), [](const Pin& pin) { return pin.block != 0; }))
        return sort();
    const auto reading = tasks_->heap().reading();
    return sort();
}

void Holdings::release_pins() {
    looked_at_.store(os::ticks(), std::memory_order_relaxed); // relaxed: a rhythm
    std::vector<Pin> finished;
    {
        const std::lock_guard guard(pins_lock_);
        const auto split = finished_pins();
        finished.assign(std::make_move_iterator(split), std::make_move_iterator(pins_.end()));
        for (const Pin& pin : finished)
            count_pinned(pin.handles, -1);
        pins_.erase(split, pins_.end());
        pin_count_.store(pins_.size(), std::memory_order_relaxed);
        pins_sweep_at_ = std::max<std::size_t>(16, 2 * pins_.size());
    }
    for (const Pin& pin : finished)
        release(pin.handles);
}

} // namespace dshm::runtime
