// Tasks of this process that share the memory of their caller: closures that are not sent anywhere.
//
//     runtime::LocalTasks tasks(process);
//     tasks.start([&] { ... });                   // runs when this thread waits, on a stack of its own
//     tasks.wait(os::Clock::time_point::max());   // for any of them
//
// A task that waits lets the others run, as ever. The caller waits for all that have begun before it
// leaves, however it leaves, so closures may refer to its variables. On a thread other than the
// process's first one, tasks run on top of the wait, and the first thread may run some while it
// waits too. Nothing of it is shared but the records of the tasks.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/map_plan.hpp"

namespace dshm::runtime {

class LocalTasks {
public:
    explicit LocalTasks(Process& process) : process_(&process) {}
    LocalTasks(const LocalTasks&) = delete;
    LocalTasks& operator=(const LocalTasks&) = delete;
    // Tells those that run to stop, and waits for them. Those that have not begun never will.
    ~LocalTasks();

    // `body` must not throw. It is gone when its task has ended. Gives the task's number.
    std::size_t start(std::function<void()> body);
    std::size_t count() const { return refs_.size(); }
    // Until a task has ended, which need not have begun if it was cancelled: its number; or until
    // the deadline has come. Throws InterruptException in a task that is told to stop.
    std::optional<std::size_t> wait(os::Clock::time_point deadline);

private:
    struct Task {
        TaskHandle handle;
        std::unique_ptr<std::function<void()>> body;
        std::size_t number;
    };
    std::size_t remove(std::size_t index);

    Process* process_;
    std::vector<Task> tasks_;
    std::vector<TaskRef> refs_; // of tasks_, for the wait
    std::size_t started_ = 0;
};

} // namespace dshm::runtime
