// What a `sync` block waits for: the tasks that its thread has spawned inside, and the loops.
//
// Holds a handle of each task, in order. Ended tasks that went well are let go as the list grows, so
// that a block may spawn any number of tasks; failed ones are kept for the exception.
#pragma once

#include <deque>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "dshm/runtime/task_record.hpp"

namespace dshm::runtime {

class LoopEnd;
class Process;

class SyncScope {
public:
    explicit SyncScope(Process& process) : process_(&process), outer_(current_) { current_ = this; }
    // Lets go of what is left without looking at it: everything has been waited for, or the session
    // is over.
    ~SyncScope();
    SyncScope(const SyncScope&) = delete;
    SyncScope& operator=(const SyncScope&) = delete;

    // Adds a task to the innermost block of this thread, if there is one.
    static void note(TaskRef task) {
        if (current_ != nullptr)
            current_->add(task);
    }
    static void note(std::shared_ptr<LoopEnd> loop) {
        if (current_ != nullptr)
            current_->add(std::move(loop));
    }

    // Waits for everything; gives what failed, in start order.
    std::vector<std::exception_ptr> wait_all();

    // Hides the thread's block while another task runs on its stack.
    class Hidden {
    public:
        Hidden() : block_(current_) { current_ = nullptr; }
        ~Hidden() { current_ = block_; }
        Hidden(const Hidden&) = delete;
        Hidden& operator=(const Hidden&) = delete;

    private:
        SyncScope* block_;
    };

    // For whoever goes on with another stack.
    static SyncScope* exchange(SyncScope* scope) noexcept { return std::exchange(current_, scope); }

private:
    struct Loop {
        std::size_t place; // among the tasks
        std::shared_ptr<LoopEnd> end;
    };
    struct Task {
        std::size_t place;
        TaskRef task;
    };

    void add(TaskRef task);
    void add(std::shared_ptr<LoopEnd> loop);
    void let_go_of_ended();
    // Of the task at that index of tasks_, among all that were noted.
    std::size_t place(std::size_t index) const { return noted_ - (tasks_.size() - index); }
    void wait_for_loops(std::size_t place, std::vector<std::exception_ptr>& failures);

    static inline thread_local constinit SyncScope* current_ = nullptr;

    Process* process_;
    SyncScope* outer_;
    std::vector<TaskRef> tasks_;
    std::size_t first_ = 0; // tasks_ before this have been let go or moved to failed_
    std::size_t noted_ = 0; // tasks so far; the place of the next one
    std::vector<Task> failed_;
    std::deque<Loop> loops_;
};

} // namespace dshm::runtime
