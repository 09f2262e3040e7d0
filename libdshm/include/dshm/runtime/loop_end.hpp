// What the Future of a loop waits for: several tasks, as one.
#pragma once

#include <exception>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/fibers.hpp"
#include "dshm/runtime/task_handle.hpp"

namespace dshm::runtime {

// Every member may be called from any thread.
class LoopEnd {
public:
    virtual ~LoopEnd() = default;

    // Until all of it has ended, well or badly; false when the deadline came first.
    virtual bool wait_until(os::Clock::time_point deadline) = 0;
    virtual bool ended() = 0;
    // Whether ended() could say something new. Does nothing but look.
    virtual bool news() = 0;
    // Once it has ended: whether anything failed, and what did, in the order of the loop. A failure
    // that nobody was given is printed at the end.
    virtual bool failed() = 0;
    virtual std::vector<std::exception_ptr> failures() = 0;
    // Whether something was run again because a worker had died.
    virtual bool repeated() const { return false; }
    virtual void announce_waiting() = 0;
    virtual void for_each_key(const std::function<void(EventKey)>& f) = 0;
    // Asks every task to stop; tells whether any had not ended.
    virtual bool cancel() = 0;

    // Until all of it has ended, also in a task that is interrupted: for who must know that nobody
    // works on it any more.
    void wait_regardless();
};

// The ends of tasks that nobody sends again.
class TaskEnds final : public LoopEnd {
public:
    explicit TaskEnds(std::vector<TaskHandle> tasks) : tasks_(std::move(tasks)) {}

    bool wait_until(os::Clock::time_point deadline) override;
    bool ended() override;
    bool news() override { return ended(); }
    bool failed() override;
    std::vector<std::exception_ptr> failures() override;
    void announce_waiting() override;
    void for_each_key(const std::function<void(EventKey)>& f) override;
    bool cancel() override;

private:
    std::vector<TaskHandle> tasks_;
};

// What an ended task failed with; null if it went well.
std::exception_ptr failure_of(const TaskHandle& ended);
// How it failed, without having looked at the failure; nothing if it went well.
std::optional<ResultForm> form_of_failure(const TaskHandle& ended);
// Of a task that its process's death has ended: what that process had to do with it.
ExitMoment ended_at(const TaskHandle& ended);

} // namespace dshm::runtime
