// WorkerPool, CachingPool: workers that take calls one at a time.
//
//     dshm::WorkerPool pool({2, 3});
//     auto f = dshm::remotecall(work, pool, 42);        // on whichever is free, or becomes free first
//     double x = dshm::remotecall_fetch(work, pool, 7);
//     const dshm::WorkerId id = pool.take();            // by hand; pool.put(id) gives it back
//
// A pool is one object of the session: its handle of 32 bytes is captured, passed and used in any
// process, and all of them see the same members. Who has been free for longest is taken first. A
// worker is given back when its call has ended, however it ended; what a process had taken by hand
// is given back by its death. Members that have ended are not counted and never taken.
// Source of the semantics: Julia's AbstractWorkerPool.
#pragma once

#include <concepts>
#include <initializer_list>
#include <optional>
#include <utility>
#include <vector>

#include "dshm/keywords.hpp"
#include "dshm/processes.hpp"
#include "dshm/runtime/pool_call.hpp"
#include "dshm/spawn.hpp"

namespace dshm {

class WorkerPool {
public:
    using shipped_by_copy = void; // see ship/shipping.hpp

    // Of these workers, each once; 1 may be among them. Throws std::invalid_argument for an id that
    // is none, ProcessExitedException for one that has ended, SharedMemoryExhausted.
    explicit WorkerPool(const std::vector<WorkerId>& ids = {});
    WorkerPool(std::initializer_list<WorkerId> ids) : WorkerPool(std::vector<WorkerId>(ids)) {}

    // The one that has been free for longest, now the caller's. Waits, and lets other tasks run.
    // Throws std::runtime_error when no member is alive, or when the last one dies meanwhile;
    // InterruptException when the task that waits is cancelled. O(processes).
    WorkerId take() const;
    // The same without waiting, or for at most `time`: nothing when there was none.
    std::optional<WorkerId> try_take() const;
    template <class Rep, class Period>
    std::optional<WorkerId> take_for(std::chrono::duration<Rep, Period> time) const {
        return take_until(os::deadline_after(time));
    }
    // Gives one back, whoever took it. Ignored if it is no member, or free.
    void put(WorkerId id) const;
    // One more member, free. Throws as the constructor; nothing happens if it is one already.
    void push(WorkerId id) const;

    // Live members, free or not.
    std::size_t size() const { return workers().size(); }
    int nworkers() const { return static_cast<int>(size()); }
    // Their ids, ascending.
    std::vector<WorkerId> workers() const;
    // A take would not wait now.
    bool isready() const;
    // Until then. Throws as take().
    void wait() const;

    // Two handles of one pool.
    friend bool operator==(const WorkerPool& a, const WorkerPool& b) {
        return a.object_.object() == b.object_.object();
    }

    // For the library.
    explicit WorkerPool(runtime::ObjectHandle object) : object_(std::move(object)) {}
    runtime::Pool pool() const;
    const runtime::ObjectHandle& object() const { return object_; }
    const WorkerPool& worker_pool() const { return *this; }

private:
    std::optional<WorkerId> take_until(os::Clock::time_point deadline) const;

    runtime::ObjectHandle object_;
};

// The pool of all workers, in every process the same: addprocs adds new ones to it. While it has no
// live member, calls through it run on process 1.
WorkerPool default_worker_pool();
// Makes `pool` that. O(1).
void default_worker_pool(const WorkerPool& pool);

// Keyword of loops and maps: the pool's live workers. Throws std::runtime_error when there is none.
OnKeyword on(const WorkerPool& pool);

namespace detail {

// A WorkerPool, or what is made of one.
template <class P>
concept Pool = requires(const P& pool) {
    { pool.worker_pool() } -> std::same_as<const WorkerPool&>;
};

// Called by process 1 when new workers take tasks.
void extend_default_pool(const std::vector<WorkerId>& ids);

} // namespace detail

// Calls on a worker of the pool, which is given back when the call has ended: well, badly, or
// cancelled before it began. They throw as take() does.
template <class F, class... Args>
auto remotecall(const F& f, const WorkerPool& pool, const Args&... args) {
    const runtime::Pool shared = pool.pool();
    return runtime::send_through(shared, [&](const runtime::TakenWorker& taken) {
        const runtime::TaskRef task =
            runtime::send_to_taken<std::decay_t<F>>(shared, taken, f, args...);
        runtime::SyncScope::note(task);
        return Future<detail::CallResult<F, Args...>>::of_task(task);
    });
}

// Waits until the call has ended and throws what it threw; the value stays in the future.
template <class F, detail::Pool P, class... Args>
auto remotecall_wait(const F& f, const P& pool, const Args&... args) {
    const runtime::SyncScope::Hidden hidden;
    auto future = remotecall(f, pool, args...);
    future.wait();
    return future;
}

template <class F, detail::Pool P, class... Args>
auto remotecall_fetch(const F& f, const P& pool, const Args&... args) {
    const runtime::SyncScope::Hidden hidden;
    return remotecall(f, pool, args...).get();
}

// Gives the worker back as soon as the call is sent. A failure is printed there.
template <class F, class... Args>
void remote_do(const F& f, const WorkerPool& pool, const Args&... args) {
    const runtime::Pool shared = pool.pool();
    runtime::send_through(shared, [&](const runtime::TakenWorker& taken) {
        runtime::send_call<std::decay_t<F>>(shared.process(), taken.worker, false, f, args...);
        shared.give_back(taken);
    });
}

// A callable that runs f on a worker of a pool and gives the value.
template <class P, class F>
struct RemoteCallable {
    P pool;
    F function;

    template <class... Args>
    auto operator()(const Args&... args) const {
        return remotecall_fetch(function, pool, args...);
    }
};
template <detail::Pool P, class F>
RemoteCallable<P, std::decay_t<F>> remote(const P& pool, const F& f) {
    return {pool, f};
}
// The same on the default pool.
template <class F>
auto remote(const F& f) {
    return remote(default_worker_pool(), f);
}

// Julia's functions, over pools. Not workers and nworkers: programs send those by name, which an
// overload would make ambiguous.
template <detail::Pool P>
WorkerId take(const P& pool) {
    return pool.worker_pool().take();
}
template <detail::Pool P>
void put(const P& pool, WorkerId id) {
    pool.worker_pool().put(id);
}
template <detail::Pool P>
void push(const P& pool, WorkerId id) {
    pool.worker_pool().push(id);
}
template <detail::Pool P>
bool isready(const P& pool) {
    return pool.worker_pool().isready();
}
template <detail::Pool P>
void wait(const P& pool) {
    pool.worker_pool().wait();
}

} // namespace dshm

#include "dshm/caching_pool.hpp"
