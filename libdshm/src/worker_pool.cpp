#include "dshm/worker_pool.hpp"

#include <mutex>
#include <stdexcept>

#include "dshm/errors.hpp"
#include "dshm/runtime/task_stream.hpp"

namespace dshm {

static_assert(std::is_standard_layout_v<WorkerPool>,
              "a closure that captures a pool must be standard-layout to be sent");

WorkerPool::WorkerPool(const std::vector<WorkerId>& ids) : object_(runtime::Pool::make()) {
    for (const WorkerId id : ids)
        push(id);
}

runtime::Pool WorkerPool::pool() const {
    object_.check_session();
    return runtime::Pool(runtime::current(), object_);
}

WorkerId WorkerPool::take() const { return *take_until(os::Clock::time_point::max()); }

std::optional<WorkerId> WorkerPool::try_take() const {
    const auto taken = pool().try_take();
    return taken ? std::optional(taken->worker.id) : std::nullopt;
}

namespace {

// The launcher gives the place of a dead member to its successor, if it finds it there: so who has
// added one looks once more whether it lives.
void add_or_successor(runtime::Pool pool, const runtime::Membership::Member& member) {
    const runtime::ProcessTable& table = pool.process().processes();
    pool.add(member.owner);
    if (table.alive(member.owner))
        return;
    if (const auto next = table.successor_of(member.id))
        pool.add(next->owner);
}

} // namespace

std::optional<WorkerId> WorkerPool::take_until(os::Clock::time_point deadline) const {
    const auto taken = pool().take(deadline);
    return taken ? std::optional(taken->worker.id) : std::nullopt;
}

void WorkerPool::put(WorkerId id) const {
    const runtime::Pool shared = pool();
    if (const auto member = runtime::current().find_member(id))
        shared.give_back(member->owner);
}

void WorkerPool::push(WorkerId id) const {
    add_or_successor(pool(), runtime::member_of(runtime::current(), id));
}

std::vector<WorkerId> WorkerPool::workers() const { return pool().members(); }
bool WorkerPool::isready() const { return pool().has_free(); }
void WorkerPool::wait() const { pool().wait(); }

OnKeyword on(const WorkerPool& pool) {
    std::vector<WorkerId> ids = pool.workers();
    if (ids.empty() && runtime::current().processes().somebody_comes()) {
        runtime::workers_of_the_moment(runtime::current()); // waits
        ids = pool.workers();
    }
    if (ids.empty() && pool.pool().is_default())
        ids.push_back(1);
    if (ids.empty())
        throw std::runtime_error("dshm: on: No active worker available in pool");
    return on(std::move(ids));
}

// ---- the default pool --------------------------------------------------------------------------

namespace {

shm::Word64& default_word() { return runtime::current().header().default_pool; }

// The pool that the header names, if it is still there.
std::optional<WorkerPool> pool_named(std::uint64_t word) {
    if (word == 0 || !runtime::current().objects().acquire(runtime::Pool::object_in(word)))
        return std::nullopt;
    return WorkerPool(runtime::ObjectHandle::adopt(runtime::Pool::object_in(word)));
}

// The master's hold, without which the default pool would go with its last handle. A pool that is
// not the default any more by the time that this runs is let go.
void hold_in_master(const WorkerPool& pool) {
    static std::mutex lock;
    static std::optional<WorkerPool> held;
    const std::lock_guard guard(lock);
    if (pool.pool().is_default())
        held.emplace(pool);
}

// Handles of a call under way hold the pool until the master has run it, whoever dies.
void have_it_held(const WorkerPool& pool) {
    if (runtime::current().is_master())
        return hold_in_master(pool);
    const runtime::StreamScope uncounted(0); // who needs the pool first is chance
    remote_do(hold_in_master, 1, pool);
}

void add_all_workers(const WorkerPool& pool) {
    runtime::ProcessTable& table = runtime::current().processes();
    table.for_each_backed([&](unsigned slot, runtime::ProcessArea&) {
        // Starting ones too: nobody else adds one that comes in the place of a worker without a pool.
        const runtime::Life life = table.life(slot);
        if (life.id > 1 && (life.active() || life.phase == runtime::LifePhase::starting))
            add_or_successor(pool.pool(),
                             {life.id, {static_cast<std::uint8_t>(slot), life.incarnation}});
    });
}

} // namespace

WorkerPool default_worker_pool() {
    runtime::current().require_member("default_worker_pool");
    for (;;) {
        // seq_cst, edge `default-pool`.
        std::uint64_t seen = default_word().load(std::memory_order_seq_cst);
        if (auto known = pool_named(seen))
            return *known;
        const WorkerPool made;
        add_all_workers(made);
        if (!default_word().compare_exchange(seen, runtime::Pool::word_of(made.object().object()),
                                             std::memory_order_seq_cst, std::memory_order_seq_cst))
            continue;
        have_it_held(made);
        add_all_workers(made); // those that addprocs announced before it could see this pool
        return made;
    }
}

void default_worker_pool(const WorkerPool& pool) {
    runtime::current().require_member("default_worker_pool");
    // seq_cst, edge `default-pool`: before it is asked whether new workers belong to it.
    default_word().store(runtime::Pool::word_of(pool.pool().object()), std::memory_order_seq_cst);
    have_it_held(pool);
}

void detail::extend_default_pool(const std::vector<WorkerId>& ids) {
    const auto pool = pool_named(default_word().load(std::memory_order_seq_cst));
    if (!pool)
        return;
    for (const WorkerId id : ids)
        if (const auto member = runtime::current().find_member(id))
            add_or_successor(pool->pool(), *member);
        else if (const auto next = runtime::current().processes().successor_of(id))
            add_or_successor(pool->pool(), *next);
}

} // namespace dshm
