// CachingPool: a WorkerPool that sends what a callable has captured once.
//
//     const auto f = [table](int i) { return table[i]; };      // table: a std::array of a megabyte
//     const dshm::CachingPool pool(dshm::workers());
//     for (int i = 0; i < 1000; ++i)
//         results.push_back(dshm::remotecall(f, pool, i));     // 1000 calls, one megabyte
//
// The first call through the pool stores the callable in shared memory, later ones with the same
// bytes send a handle of it; each worker decodes it once and keeps it until `clear`, or until the
// pool is gone. All calls of one worker use that one object if it can be called as const, else a
// copy each. Callables of up to 128 bytes are sent as they are, which costs less.
//
// It belongs to its process: sending one throws std::invalid_argument. Any thread may use it.
// Source of the semantics: Julia's CachingPool.
#pragma once

#include <memory>
#include <span>

#include "dshm/detail/stored_callable.hpp"
#include "dshm/worker_pool.hpp"

namespace dshm {

class CachingPool {
public:
    // As of a WorkerPool.
    explicit CachingPool(const std::vector<WorkerId>& ids = {}) : pool_(ids) {}
    CachingPool(std::initializer_list<WorkerId> ids) : pool_(ids) {}
    // A handle of the same pool. Throws std::invalid_argument if the copy is to be sent.
    CachingPool(const CachingPool& other);
    CachingPool& operator=(const CachingPool&) = default;

    // Forgets what was stored; calls under way keep what they need.
    void clear() const { stored_.clear(); }
    // How many callables are stored.
    std::size_t stored() const { return stored_.size(); }

    WorkerId take() const { return pool_.take(); }
    std::optional<WorkerId> try_take() const { return pool_.try_take(); }
    template <class Rep, class Period>
    std::optional<WorkerId> take_for(std::chrono::duration<Rep, Period> time) const {
        return pool_.take_for(time);
    }
    void put(WorkerId id) const { pool_.put(id); }
    void push(WorkerId id) const { pool_.push(id); }
    std::size_t size() const { return pool_.size(); }
    int nworkers() const { return pool_.nworkers(); }
    std::vector<WorkerId> workers() const { return pool_.workers(); }
    bool isready() const { return pool_.isready(); }
    void wait() const { pool_.wait(); }

    // For the library.
    const WorkerPool& worker_pool() const { return pool_; }
    template <class F>
    detail::StoredCallable stored_form(const F& f) const {
        const auto store = [&f](std::shared_ptr<const void>& kept) {
            kept = std::make_shared<const F>(f);
            return detail::store_callable(f);
        };
        return stored_.find(&detail::callable_type<F>, std::as_bytes(std::span(&f, 1)), store);
    }
    template <class F>
    static constexpr bool stores = sizeof(F) > 128 && !ship::ShippedByParts<F>;

private:
    WorkerPool pool_;
    mutable detail::StoredCallables stored_;
};

inline OnKeyword on(const CachingPool& pool) { return on(pool.worker_pool()); }

template <class F, class... Args>
auto remotecall(const F& f, const CachingPool& pool, const Args&... args) {
    if constexpr (!CachingPool::stores<F>) {
        return remotecall(f, pool.worker_pool(), args...);
    } else {
        const detail::StoredCallable stored = pool.stored_form(f);
        const runtime::Pool shared = pool.worker_pool().pool();
        return runtime::send_through(shared, [&](const runtime::TakenWorker& taken) {
            const auto task = detail::send_stored<F>(shared, taken, true, stored, args...);
            runtime::SyncScope::note(task);
            return Future<detail::CallResult<F, Args...>>::of_task(task);
        });
    }
}

template <class F, class... Args>
void remote_do(const F& f, const CachingPool& pool, const Args&... args) {
    if constexpr (!CachingPool::stores<F>) {
        remote_do(f, pool.worker_pool(), args...);
    } else {
        const detail::StoredCallable stored = pool.stored_form(f);
        const runtime::Pool shared = pool.worker_pool().pool();
        runtime::send_through(shared, [&](const runtime::TakenWorker& taken) {
            detail::send_stored<F>(shared, taken, false, stored, args...);
        });
    }
}

} // namespace dshm
