// Waiting for tasks.
#pragma once

#include "dshm/os/clock.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

class TaskWait final : public WaitFor {
public:
    TaskWait(Process& process, TaskRef task) : process_(&process), task_(task) {}

    bool ready() override { return process_->tasks().ended(task_); }
    void about_to_sleep() override { process_->tasks().announce_waiting(task_); }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(EventKey)>& f) const override {
        f(task_key(task_.index));
    }

    // A future without a task is put by whoever comes to it.
    bool is_for_task() const override {
        return process_->tasks().state(task_).phase != TaskPhase::open;
    }
    std::optional<TaskRef> claim_awaited() override {
        const auto target = control::Target::get(process_->tasks().record(task_).control.load(
            std::memory_order_relaxed)); // relaxed: fixed while we hold the task
        const bool may = target == static_cast<std::uint64_t>(process_->id()) ||
                         (target == 0 && process_->scheduler().may_run_ready());
        return may && process_->tasks().claim_queued(task_) ? std::optional(task_) : std::nullopt;
    }

private:
    Process* process_;
    TaskRef task_;
};

inline void wait_for_task(Process& process, TaskRef task) {
    TaskWait wait(process, task);
    process.scheduler().wait(wait);
}

inline bool wait_for_task(Process& process, TaskRef task, os::Clock::time_point deadline) {
    TaskWait wait(process, task);
    return process.scheduler().wait_until(wait, deadline);
}

} // namespace dshm::runtime
