// What all futures share: a counted handle of one task, which any process may hold.
//
// Copies in this process cost a private count. A copy made into a payload is listed there and holds
// nothing; one made out of a payload takes this process's share of the task (holdings.hpp). Every
// member may be called from any thread. Members throw std::logic_error when the session that the
// handle belongs to is over, or when it has been moved from.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <utility>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

class TaskHandle {
public:
    TaskHandle() = default;
    // Takes over the handle that sending a task has made.
    static TaskHandle adopt(TaskRef task) { return TaskHandle(task); }
    // A task that somebody will put, living with process `owner`.
    static TaskHandle make_open(WorkerId owner);

    TaskHandle(const TaskHandle& other);
    TaskHandle(TaskHandle&& other) noexcept
        : task_(other.task_), session_(std::exchange(other.session_, 0)) {}
    TaskHandle& operator=(TaskHandle other) noexcept {
        std::swap(task_, other.task_);
        std::swap(session_, other.session_);
        return *this;
    }
    ~TaskHandle();

    TaskRef task() const { return task_; }
    Process& process() const;
    int where() const;
    bool ended() const { return process().tasks().ended(task_); }
    // Until the task has ended, well or badly.
    void wait() const;
    bool wait_until(os::Clock::time_point deadline) const;
    bool cancel() const;
    // This process is about to sleep until the task has ended.
    void announce_waiting() const { process().tasks().announce_waiting(task_); }
    // Throws what an ended task threw.
    void throw_if_failed() const;

    // f(ResultView) of a task that has ended well; throws what one that has ended badly threw.
    template <class F>
    decltype(auto) read(F&& f) const {
        return process().holdings().read(task_, [&](const ResultView& result) {
            if (result.phase == TaskPhase::failed)
                std::rethrow_exception(failure_of(result));
            return f(result);
        });
    }

private:
    explicit TaskHandle(TaskRef task) : task_(task), session_(current_session()) {}

    TaskRef task_;
    std::uint64_t session_ = 0; // 0: holds nothing
};

// Claims an open task for a put. Throws std::logic_error when it has been ended before.
void claim_for_put(const TaskHandle& handle);

// Ends an open task with a value. If encoding throws, it is open as before.
template <class T>
void put_result(const TaskHandle& handle, const T& value) {
    claim_for_put(handle);
    complete_task(handle.process(), handle.task(), [&](Execution& e) { e.give(value); });
}

// A value that one handle object keeps once it has been made; copies of the handle make their own.
// Several threads may make it at the same time: the first one's stays.
template <class T>
class KeptValue {
public:
    KeptValue() = default;
    KeptValue(const KeptValue&) noexcept {}
    KeptValue(KeptValue&& other) noexcept : value_(other.take()) {}
    KeptValue& operator=(KeptValue other) noexcept {
        delete value_.exchange(other.take(), std::memory_order_acq_rel);
        return *this;
    }
    ~KeptValue() { delete take(); }

    // acquire: pairs with keep().
    const T* get() const noexcept { return value_.load(std::memory_order_acquire); }
    const T& keep(std::unique_ptr<const T> value) const {
        const T* kept = nullptr;
        // release: whoever gets the pointer sees the value.
        if (value_.compare_exchange_strong(kept, value.get(), std::memory_order_acq_rel,
                                           std::memory_order_acquire))
            return *value.release();
        return *kept;
    }

private:
    const T* take() noexcept { return value_.exchange(nullptr, std::memory_order_acq_rel); }

    mutable std::atomic<const T*> value_{nullptr};
};

} // namespace dshm::runtime
