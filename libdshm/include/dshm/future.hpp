// Future<T>: the result of a task, or a value that somebody will put.
//
//     dshm::Future<int> answer = dshm::spawn([] { return 6 * 7; });
//     int value = dshm::fetch(answer);
//
// A small handle, cheap to copy, captured and passed by value to any process of the session.
// The value lies in shared memory, so it outlives the process that made it; it is freed with the
// last handle. A failed task throws at every fetch: an exception that derives from RemoteException
// and from the original's standard type, or ProcessExitedException. A failure that nobody ever
// looks at is printed once. Every member may be called from any thread.
#pragma once

#include <chrono>
#include <memory>
#include <stdexcept>
#include <utility>

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/loop_end.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/runtime/task_handle.hpp"
#include "dshm/runtime/task_wait.hpp"

namespace dshm {

int myid();

template <class T>
class Future {
public:
    using value_type = T;
    using shipped_by_copy = void; // see ship/shipping.hpp

    // A future without a task: `put` gives it its value. It lives with `owner`: if that process
    // ends before somebody has put it, it fails with ProcessExitedException. Throws that when the
    // owner has ended, std::invalid_argument for an unknown id.
    explicit Future(int owner = myid()) : handle_(runtime::TaskHandle::make_open(owner)) {}
    static Future of_task(runtime::TaskRef task) {
        return Future(runtime::TaskHandle::adopt(task));
    }

    // Once, by any process that holds it: a second put throws std::logic_error.
    void put(const T& value) const { runtime::put_result(handle_, value); }

    // The value, kept in this handle: the reference is valid as long as the handle.
    const T& fetch() const& {
        const T* kept = value_.get();
        return kept != nullptr ? *kept : value_.keep(std::make_unique<const T>(get()));
    }
    T fetch() && { return get(); }
    // The value, decoded anew. Waits; throws what the task threw.
    T get() const {
        handle_.wait();
        return handle_.read([](const runtime::ResultView& result) {
            ship::Reader reader(result.bytes.data(), result.bytes.size());
            return ship::decode<T>(reader);
        });
    }

    // Until the task has ended. Throws what the task threw.
    void wait() const {
        handle_.wait();
        handle_.throw_if_failed();
    }
    // The same for at most `time`; tells whether the task has ended, well or badly, and throws
    // nothing of it.
    template <class Rep, class Period>
    bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return handle_.wait_until(os::deadline_after(time));
    }
    bool isready() const { return handle_.ended(); }
    // The worker that the task was sent to, or that runs or ran it; this process if none has taken
    // it yet. Of a future without a task, its owner.
    int where() const { return handle_.where(); }
    // A task that has not begun ends with InterruptException, and so does a future that nobody has
    // put; one that runs is asked to stop (stop_requested). False when it had ended already.
    bool cancel() const { return handle_.cancel(); }

    // For the library.
    bool news() const { return handle_.ended(); }
    void announce_waiting() const { handle_.announce_waiting(); }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const {
        f(runtime::task_key(handle_.task().index));
    }
    const runtime::TaskHandle& handle() const { return handle_; }

private:
    explicit Future(runtime::TaskHandle handle) : handle_(std::move(handle)) {}

    runtime::TaskHandle handle_;
    runtime::KeptValue<T> value_;
};

// A future of nothing but the end of a task, or of all of an asynchronous loop. A loop's cannot be
// put or sent to another process.
template <>
class Future<void> {
public:
    using value_type = void;
    using shipped_by_copy = void;

    explicit Future(int owner = myid());
    static Future of_task(runtime::TaskRef task);
    // Of a loop.
    static Future of_loop(std::shared_ptr<runtime::LoopEnd> loop);
    Future(const Future& other);
    Future(Future&&) noexcept = default;
    Future& operator=(const Future& other);
    Future& operator=(Future&&) noexcept = default;

    void put() const;
    // Waits. Throws what the task threw; of several failures a CompositeException in start order.
    void fetch() const { wait(); }
    void get() const { wait(); }
    void wait() const;
    template <class Rep, class Period>
    bool wait_for(std::chrono::duration<Rep, Period> time) const {
        return wait_until(os::deadline_after(time));
    }
    bool isready() const;
    int where() const;
    bool cancel() const;

    // For the library; the last of a future that is not a loop's.
    runtime::LoopEnd* loop() const { return loop_.get(); }
    bool news() const { return loop_ ? loop_->news() : handle_.ended(); }
    void announce_waiting() const;
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const;
    const runtime::TaskHandle& handle() const { return handle_; }

private:
    explicit Future(runtime::TaskHandle handle) : handle_(std::move(handle)) {}
    bool wait_until(os::Clock::time_point deadline) const;

    runtime::TaskHandle handle_;             // of one task; empty in the future of a loop
    std::shared_ptr<runtime::LoopEnd> loop_; // of a loop
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
inline void put(const Future<void>& future) { future.put(); }

} // namespace dshm
