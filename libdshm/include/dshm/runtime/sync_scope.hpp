// What a `sync` block waits for: the tasks that its thread has spawned inside.
//
// Holds a handle of each, in order. Ended tasks that went well are let go as the list grows, so
// that a block may spawn any number of tasks; failed ones are kept for the exception.
#pragma once

#include <exception>
#include <utility>
#include <vector>

#include "dshm/runtime/task_record.hpp"

namespace dshm::runtime {

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
    static SyncScope* exchange(SyncScope* scope) noexcept {
        return std::exchange(current_, scope);
    }

private:
    void add(TaskRef task);
    void let_go_of_ended();

    static inline thread_local constinit SyncScope* current_ = nullptr;

    Process* process_;
    SyncScope* outer_;
    std::vector<TaskRef> tasks_;
    std::size_t first_ = 0; // tasks_ before this have been let go or moved to failed_
    std::vector<TaskRef> failed_;
};

} // namespace dshm::runtime
