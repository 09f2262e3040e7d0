// WorkerPool and CachingPool: every member, calls through them, from any process, and deaths.

#include <chrono>
#include <set>
#include <thread>

#include "dshm/worker_pool.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

namespace {

std::size_t live_objects() { return runtime::current().objects().live_count(); }
using Ids = std::vector<WorkerId>;

struct Table {
    std::array<double, 100'000> values;
};

} // namespace

TEST_CASE("a pool is a queue of free ids and a set of members") {
    in_session(3, [] {
        const WorkerPool pool({4, 2});
        DEMAND(pool.size() == 2 && pool.nworkers() == 2);
        DEMAND((pool.workers() == Ids{2, 4}));
        DEMAND(pool.isready());
        pool.wait();
        DEMAND(pool.take() == 4);
        pool.push(3);
        pool.push(3);
        DEMAND(take(pool) == 2 && pool.take() == 3);
        DEMAND(!pool.isready() && !isready(pool));
        DEMAND(!pool.try_take() && !pool.take_for(1ms));
        pool.put(3);
        pool.put(2);
        pool.put(2);
        pool.put(1);  // no member
        pool.put(99); // no process
        DEMAND(pool.try_take() == 3 && pool.take_for(1h) == 2 && !pool.try_take());
        DEMAND(pool.size() == 3);
        const WorkerPool same = pool;
        put(same, 4);
        DEMAND(pool.take() == 4 && pool == same && !(pool == WorkerPool({2})));
    });
}

TEST_CASE("bad ids and empty pools") {
    in_session(2, [] {
        DEMAND(has(thrown_by<std::invalid_argument>([] { WorkerPool({2, 99}); }), "99"));
        thrown_by<std::invalid_argument>([] { WorkerPool({0}); });
        thrown_by<std::invalid_argument>([] { WorkerPool({-1}); });
        const WorkerPool empty(Ids{});
        DEMAND(empty.size() == 0 && !empty.isready() && empty.workers().empty());
        const std::string text = thrown_by<std::runtime_error>([&] { empty.take(); });
        DEMAND(text.starts_with("dshm: ") && has(text, "No active worker available in pool"));
        thrown_by<std::runtime_error>([&] { empty.wait(); });
        thrown_by<std::runtime_error>([&] { empty.take_for(1ms); });
        thrown_by<std::runtime_error>([&] { empty.try_take(); });
        thrown_by<std::runtime_error>([&] { remotecall_fetch([] {}, empty); });
        thrown_by<std::runtime_error>([&] { on(empty); });
        kill_worker(2);
        thrown_by<ProcessExitedException>([] { WorkerPool({2, 3}); });
        thrown_by<ProcessExitedException>([&] { empty.push(2); });
        DEMAND(WorkerPool({1, 3}).take() == 1);
        DEMAND(live_objects() == 1);
    });
}

TEST_CASE("calls take a worker and give it back at their end") {
    in_session(2, [] {
        const WorkerPool pool(workers());
        std::set<WorkerId> seen;
        for (int i = 0; i < 10; ++i)
            seen.insert(remotecall_fetch([] { return myid(); }, pool));
        DEMAND((seen == std::set<WorkerId>{2, 3}));
        const Flag go;
        const auto busy = [go] {
            go.await();
            return myid();
        };
        const auto one = remotecall(busy, pool), two = remotecall(busy, pool);
        DEMAND(!pool.isready());
        go.raise();
        DEMAND(fetch(one) + fetch(two) == 5 && pool.isready());
        DEMAND(pool.try_take() && pool.try_take() && !pool.try_take());
        pool.put(2);
        const auto third = remotecall_wait([](int x) { return x; }, pool, 7);
        DEMAND(third.get() == 7 && third.where() == 2);
        remote_do([] {}, pool);
        DEMAND(pool.isready());
    });
}

TEST_CASE("a call that fails, cannot be read, is dropped or cancelled gives its worker back") {
    in_session(1, [] {
        const WorkerPool pool({2});
        thrown_by<std::domain_error>(
            [&] { remotecall_fetch([] { throw std::domain_error("no"); }, pool); });
        DEMAND(pool.isready());
        thrown_by<std::domain_error>(
            [&] { remotecall_wait([] { throw std::domain_error("no"); }, pool); });
        const Flag go;
        remotecall([go] { go.await(); }, pool);
        go.raise();
        const WorkerId again = pool.take(); // waits for the dropped one's end
        pool.put(again);
        const Flag later;
        const auto blocker = spawn_at(2, [later] { until([&] { return later.raised(); }); });
        const auto waiting = remotecall([] { return 1; }, pool);
        DEMAND(!pool.isready() && waiting.cancel() && pool.isready());
        thrown_by<InterruptException>([&] { waiting.get(); });
        later.raise();
        blocker.wait();
        int local = 1;
        thrown_by<std::invalid_argument>(
            [&] { remotecall([p = &local] { return *p; }, pool); }); // nothing was sent
        DEMAND(pool.isready());
    });
}

TEST_CASE("more calls than workers wait their turn, in order and from tasks") {
    in_session(2, [] {
        const WorkerPool pool(workers());
        const SharedArray<int> counts(4);
        sync([&] {
            for (int i = 0; i < 200; ++i)
                spawn_at(1, [pool, counts] {
                    remotecall_wait(
                        [counts] {
                            DEMAND(std::atomic_ref(counts[static_cast<std::size_t>(myid())])
                                       .fetch_add(1, std::memory_order_relaxed) >= 0);
                        },
                        pool);
                });
        });
        DEMAND(counts[2] + counts[3] == 200 && counts[2] > 0 && counts[3] > 0);
        DEMAND(pool.try_take() && pool.try_take() && !pool.try_take());
    });
}

TEST_CASE("one pool for all processes") {
    in_session(3, [] {
        const WorkerPool pool({2, 3});
        const WorkerId taken = fetch_from(4, [pool] { return pool.take(); });
        DEMAND(taken == 2 && pool.take() == 3 && !pool.isready());
        const auto waiting = spawn_at(4, [pool] { return pool.take(); });
        const auto argument = spawn_at(
            4, [](const WorkerPool& p) { return p.take(); }, pool);
        pool.put(2);
        pool.put(3);
        DEMAND(waiting.get() + argument.get() == 5);
        fetch_from(4, [pool] {
            pool.push(1);
            pool.put(2);
        });
        DEMAND((pool.workers() == Ids{1, 2, 3}));
        const auto call = [pool](int x) {
            return remotecall_fetch([](int y) { return y + 1; }, pool, x);
        };
        DEMAND(fetch_from(4, call, 1) == 2 && fetch_from(3, call, 2) == 3);
        DEMAND(fetch_from(3, [pool] { return std::vector{pool}; }).at(0) == pool);
    });
}

TEST_CASE("who waits is woken by put, by push and by an addition elsewhere") {
    in_session(3, [] {
        const WorkerPool pool({2});
        pool.take();
        const Flag waits;
        const auto take_one = [pool, waits] {
            waits.raise();
            return pool.take();
        };
        const auto one = spawn_at(3, take_one);
        waits.await();
        fetch_from(2, [pool] { pool.put(2); });
        DEMAND(one.get() == 2);
        const auto two = spawn_at(3, take_one);
        fetch_from(4, [pool] { pool.push(4); });
        DEMAND(two.get() == 4);
        std::vector<std::thread> threads;
        std::atomic<int> sum = 0;
        for (int i = 0; i < 4; ++i)
            threads.emplace_back([&] {
                const WorkerId id = pool.take();
                sum += id;
                pool.put(id);
            });
        pool.put(2);
        for (std::thread& thread : threads)
            thread.join();
        DEMAND(sum == 8 && pool.take() == 2);
        const auto cancelled = spawn_at(3, take_one);
        until([&] { return !cancelled.isready() && cancelled.where() == 3; });
        cancelled.cancel();
        thrown_by<InterruptException>([&] { cancelled.get(); });
        pool.put(2);
        DEMAND(pool.take() == 2);
    });
}

TEST_CASE("a pool passes over the dead, and says so when nobody is left") {
    in_session(3, [] {
        const WorkerPool pool({2, 3, 4});
        kill_worker(2);
        rmprocs(3);
        DEMAND((pool.size() == 1 && pool.workers() == Ids{4} && pool.isready()));
        DEMAND(remotecall_fetch([] { return myid(); }, pool) == 4);
        DEMAND(pool.take() == 4 && !pool.isready());
        const auto waiting = spawn_at(1, [pool] { return pool.take(); });
        const auto there = addprocs(1);
        const auto elsewhere = spawn_at(there[0], [pool] { pool.wait(); });
        kill_worker(4);
        DEMAND(has(thrown_by<std::runtime_error>([&] { waiting.get(); }), "No active worker"));
        DEMAND(has(thrown_by<std::runtime_error>([&] { elsewhere.get(); }), "No active worker"));
        DEMAND(pool.size() == 0 && !pool.isready());
        thrown_by<std::runtime_error>([&] { pool.take(); });
        pool.push(there[0]);
        DEMAND(pool.take() == there[0]);
    });
}

TEST_CASE("a worker dies in a call, the next one serves") {
    in_session(2, [] {
        const WorkerPool pool({2, 3});
        const auto dies = remotecall([] { raise(SIGKILL); }, pool);
        thrown_by<ProcessExitedException>([&] { dies.wait(); });
        DEMAND(remotecall_fetch([] { return myid(); }, pool) == 3);
        DEMAND(remotecall_fetch([] { return myid(); }, pool) == 3);
    });
}

TEST_CASE("a process that dies gives back what it had taken") {
    in_session(3, [] {
        const WorkerPool pool({2, 3});
        DEMAND(fetch_from(4, [pool] { return pool.take() + pool.take(); }) == 5);
        DEMAND(!pool.isready());
        const auto waiting = spawn_at(2, [pool] { return pool.take(); });
        kill_worker(4);
        DEMAND(waiting.get() == 2 || waiting.get() == 3);
        DEMAND(pool.isready());
    });
}

TEST_CASE("a task outlives its sender and keeps its worker until its end") {
    in_session(2, [] {
        const WorkerPool pool({2});
        const Flag go, sent;
        const auto sender = spawn_at(3, [pool, go, sent] {
            const auto call = remotecall([go] { until([&] { return go.raised(); }); }, pool);
            sent.raise();
            call.wait();
        });
        sent.await();
        kill_worker(3);
        DEMAND(!pool.isready());
        go.raise();
        DEMAND(pool.take() == 2);
    });
}

TEST_CASE("the default pool has all workers, in every process, and grows with addprocs") {
    in_session(0, [] {
        DEMAND(remotecall_fetch([] { return myid(); }, default_worker_pool()) == 1);
        DEMAND(default_worker_pool().size() == 0 && default_worker_pool().isready());
        DEMAND(on(default_worker_pool()).ids == Ids{1});
        DEMAND(default_worker_pool().take() == 1);
        default_worker_pool().put(1);
        addprocs(2);
        DEMAND((default_worker_pool().workers() == Ids{2, 3}));
        const auto ask = [] { return default_worker_pool().workers(); };
        DEMAND((fetch_from(2, ask) == Ids{2, 3}));
        DEMAND(fetch_from(3, [] { return default_worker_pool(); }) == default_worker_pool());
        DEMAND(remote([](int i) { return 2 * i; })(21) == 42);
        DEMAND(fetch_from(2, [] { return remote([] { return myid(); })(); }) >= 2);
        addprocs(1);
        DEMAND((fetch_from(3, ask) == Ids{2, 3, 4}));
        rmprocs({2, 3, 4});
        DEMAND(default_worker_pool().take() == 1);
    });
}

TEST_CASE("a default pool made or set by a worker stays when that worker is gone") {
    in_session(2, [] {
        DEMAND((fetch_from(2, [] { return default_worker_pool().workers(); }) == Ids{2, 3}));
        kill_worker(2);
        DEMAND(default_worker_pool().workers() == Ids{3});
        const WorkerId late = addprocs(1)[0];
        DEMAND((default_worker_pool().workers() == Ids{3, late}));
        fetch_from(late, [] { default_worker_pool(WorkerPool({3})); });
        DEMAND(default_worker_pool().workers() == Ids{3});
        kill_worker(late);
        const auto more = addprocs(1);
        DEMAND((default_worker_pool().workers() == Ids{3, more[0]}));
        const WorkerPool mine({3});
        default_worker_pool(mine);
        DEMAND(fetch_from(3, [] { return default_worker_pool(); }) == mine);
    });
}

TEST_CASE("keywords and callables of a pool") {
    in_session(3, [] {
        const WorkerPool pool({2, 4});
        const CachingPool caching({4, 3});
        DEMAND((on(pool).ids == Ids{2, 4} && on(caching).ids == Ids{3, 4}));
        const auto twice = remote(pool, [](int i) { return std::pair(2 * i, myid()); });
        for (int i = 0; i < 4; ++i) {
            const auto [value, where] = twice(i);
            DEMAND(value == 2 * i && (where == 2 || where == 4));
        }
        DEMAND(fetch_from(3, [twice] { return twice(5).first; }) == 10);
        DEMAND(remote(caching, [] { return myid(); })() >= 3);
    });
}

TEST_CASE("a caching pool moves what is captured once") {
    in_session(2, [] {
        const CachingPool pool(workers());
        const auto table = std::make_unique<Table>();
        for (std::size_t i = 0; i < table->values.size(); ++i)
            table->values[i] = static_cast<double>(i);
        const SharedArray<double> shift(1);
        shift[0] = 0.5;
        const auto look_up = [table = *table, shift](std::span<const int> at) {
            return table.values[static_cast<std::size_t>(at[0])] + shift[0];
        };
        const Counters before = counters();
        for (int i = 0; i < 50; ++i)
            DEMAND(remotecall_fetch(look_up, pool, std::vector{i}) == i + 0.5);
        const auto moved = (counters() - before).bytes_moved;
        DEMAND(moved >= sizeof(Table) && moved < 2 * sizeof(Table));
        DEMAND(pool.stored() == 1);
        auto other = look_up;
        DEMAND(remotecall_fetch(other, pool, std::vector{3}) == 3.5 && pool.stored() == 1);
        remote_do(look_up, pool, std::vector{3});
        auto mutable_one = [table = *table]() mutable { return table.values[0]++; };
        for (int i = 0; i < 4; ++i) // each call begins with what was captured
            DEMAND(remotecall_fetch(mutable_one, pool) == 0 && pool.stored() == 2);
        const auto late = remotecall(look_up, pool, std::vector{9});
        pool.clear();
        DEMAND(late.get() == 9.5 && pool.stored() == 0);
        DEMAND(remotecall_fetch(look_up, pool, std::vector{1}) == 1.5 && pool.stored() == 1);
        DEMAND(pool.size() == 2 && pool.isready() && pool.nworkers() == 2);
    });
}

TEST_CASE("a caching pool stays where it is, and leaves nothing") {
    in_session(2, [] {
        const std::size_t before = live_objects();
        {
            const CachingPool pool(workers());
            const Table table{};
            DEMAND(remotecall_fetch([table] { return table.values[7]; }, pool) == 0);
            const std::string text = thrown_by<std::invalid_argument>([&] {
                spawn([p = trust([pool] { return pool.size(); })]() mutable { return p(); });
            });
            DEMAND(has(text, "CachingPool cannot be sent"));
        }
        until([before] {
            for (const WorkerId id : procs())
                fetch_from(id, [] { runtime::current().holdings().release_pins(); });
            return live_objects() == before;
        });
    });
}
