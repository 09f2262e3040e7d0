// Future<T>: the result of a task, or a value that somebody will put.
//
//     dshm::Future<int> answer = dshm::spawn([] { return 6 * 7; });
//     int value = dshm::fetch(answer);
//
// A handle of 32 bytes, cheap to copy. The value lies in shared memory, so it outlives the process
// that made it; it is freed with the last handle. A failed task throws at every fetch: an exception
// that derives from RemoteException and from the original's standard type, or
// ProcessExitedException. A failure that nobody ever looks at is printed once.
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/runtime/task_wait.hpp"

namespace dshm {

int myid();

namespace detail {

// What all futures share: a counted handle of one task. Every member may be called from any thread.
class TaskHandle {
public:
    TaskHandle() = default;
    // Takes over the handle that sending a task has made.
    static TaskHandle adopt(runtime::TaskRef task) { return TaskHandle(task); }
    // A task that somebody will put.
    static TaskHandle make_open();

    TaskHandle(const TaskHandle& other);
    TaskHandle(TaskHandle&& other) noexcept
        : task_(other.task_), session_(std::exchange(other.session_, 0)) {}
    TaskHandle& operator=(TaskHandle other) noexcept {
        std::swap(task_, other.task_);
        std::swap(session_, other.session_);
        return *this;
    }
    ~TaskHandle();

    runtime::TaskRef task() const { return task_; }
    // Throws std::logic_error when the session that it belongs to is over, or nothing is held.
    runtime::Process& process() const;
    int where() const;

private:
    explicit TaskHandle(runtime::TaskRef task)
        : task_(task), session_(runtime::current_session()) {}

    runtime::TaskRef task_;
    std::uint64_t session_ = 0; // 0: holds nothing
};

// Throws what an ended task threw.
void throw_if_failed(const TaskHandle& handle);

// Ends an open task with a value. Throws std::logic_error when it has been ended before.
template <class T>
void put_result(const TaskHandle& handle, const T& value) {
    runtime::Process& process = handle.process();
    if (!process.tasks().claim_open(handle.task()))
        throw std::logic_error(
            "dshm: a Future can be put only once, and never if it belongs to a task");
    runtime::complete_task(process, handle.task(), [&](runtime::Execution& e) { e.give(value); });
}

} // namespace detail

template <class T>
class Future {
public:
    using value_type = T;

    // A future without a task: `put` gives it its value. `owner` is where it is said to live.
    explicit Future(int owner = myid()) : handle_(detail::TaskHandle::make_open()), owner_(owner) {}
    static Future of_task(runtime::TaskRef task) { return Future(detail::TaskHandle::adopt(task)); }

    // Once: a second put throws std::logic_error.
    void put(const T& value) const { detail::put_result(handle_, value); }

    // The value, kept in this handle: the reference is valid as long as the handle.
    const T& fetch() const& {
        if (!value_)
            value_ = std::make_shared<const T>(get());
        return *value_;
    }
    T fetch() && { return get(); }
    // The value, decoded anew. Waits; throws what the task threw.
    T get() const {
        wait();
        return handle_.process().holdings().read(
            handle_.task(), [](const runtime::ResultView& result) {
                if (result.phase == runtime::TaskPhase::failed)
                    std::rethrow_exception(runtime::failure_of(result));
                ship::Reader reader(result.bytes.data(), result.bytes.size());
                return ship::decode<T>(reader);
            });
    }

    // Until the task has ended, well or badly.
    void wait() const { runtime::wait_for_task(handle_.process(), handle_.task()); }
    template <class Rep, class Period>
    bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return runtime::wait_for_task(handle_.process(), handle_.task(), os::Clock::now() + time);
    }
    bool isready() const { return handle_.process().tasks().ended(handle_.task()); }
    // The worker that the task was sent to, or that runs or ran it; this process if none has taken
    // it yet.
    int where() const { return owner_ != 0 ? owner_ : handle_.where(); }
    // Throws what the ended task threw, if it failed.
    void throw_if_failed() const { detail::throw_if_failed(handle_); }
    // For the library: the record behind the handle.
    runtime::TaskRef task() const { return handle_.task(); }

private:
    explicit Future(detail::TaskHandle handle) : handle_(std::move(handle)) {}

    detail::TaskHandle handle_;
    int owner_ = 0;
    mutable std::shared_ptr<const T> value_;
};

// A future of nothing but the end of a task, or of all parts of an asynchronous loop.
template <>
class Future<void> {
public:
    using value_type = void;

    explicit Future(int owner = myid());
    static Future of_task(runtime::TaskRef task);
    // One for several: ends when all have ended.
    static Future join(const std::vector<Future>& parts);

    void put() const;
    // Waits. Throws what the task threw; of several failures a CompositeException in start order.
    void fetch() const;
    void get() const { fetch(); }
    void wait() const;
    void throw_if_failed() const;
    template <class Rep, class Period>
    bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return wait_until(os::Clock::now() + time);
    }
    bool isready() const;
    int where() const;
    // For the library: the record behind the handle, of a future that is not a loop's.
    runtime::TaskRef task() const { return handle_.task(); }

private:
    Future(detail::TaskHandle handle, int owner) : handle_(std::move(handle)), owner_(owner) {}
    bool wait_until(os::Clock::time_point deadline) const;
    // f(handle) for the task, or for each part of a loop.
    template <class F>
    void for_each_part(F&& f) const;

    detail::TaskHandle handle_; // of one task; empty in the future of a loop
    int owner_ = 0;
    std::shared_ptr<const std::vector<detail::TaskHandle>> parts_; // of a loop
};

template <class T>
void wait(const Future<T>& future) {
    future.wait();
}
template <class T>
bool isready(const Future<T>& future) {
    return future.isready();
}
template <class T>
T fetch(const Future<T>& future) {
    return future.get();
}
template <class T, class V>
void put(const Future<T>& future, const V& value) {
    future.put(value);
}

} // namespace dshm
