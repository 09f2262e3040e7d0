// 15: a pool of workers: calls go to whoever is free, one at a time each.
//
// Julia: pool = WorkerPool([2, 3]); f = remotecall(f, pool, 42); remotecall_fetch(f, pool, 7)
//        id = take!(pool); put!(pool, id); default_worker_pool()

#include <dshm/dshm.hpp>

#include <algorithm>
#include <iostream>
#include <vector>

double work(double x) { return x * x; }

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::WorkerPool pool(dshm::workers());
    std::cout << "members: " << pool.size() << '\n';

    // Six calls over two workers: the third one waits until a worker is free.
    std::vector<dshm::Future<double>> results;
    for (int i = 1; i <= 6; ++i)
        results.push_back(dshm::remotecall(work, pool, i));
    for (const auto& result : results)
        std::cout << dshm::fetch(result) << ' ';
    std::cout << '\n';

    // By hand: whoever has been free for longest comes first.
    const dshm::WorkerId first = pool.take(), second = pool.take();
    std::cout << std::boolalpha << "two taken, somebody free: " << pool.isready() << '\n';
    pool.put(second);
    std::cout << "the one given back is next: " << (pool.take() == second) << '\n';
    pool.put(first);
    pool.put(second);

    // The pool is one object for all processes: a worker sends calls through it, too.
    const int sum = dshm::fetch_from(first, [pool, first] {
        const dshm::WorkerId other = [&] { // not itself, which waits here
            const dshm::WorkerId one = pool.take();
            if (one != first)
                return one;
            const dshm::WorkerId two = pool.take();
            pool.put(one);
            return two;
        }();
        const int value = dshm::remotecall_fetch([](int a, int b) { return a + b; }, other, 40, 2);
        pool.put(other);
        return value;
    });
    std::cout << "through a worker: " << sum << '\n';

    // What a callable has captured is sent once for all calls of a CachingPool.
    std::array<double, 10'000> table{};
    table[77] = 7.7;
    const dshm::CachingPool caching(dshm::workers());
    const auto look_up = [table](std::size_t i) { return table[i]; };
    const auto before = dshm::counters().bytes_moved;
    for (int i = 0; i < 100; ++i)
        dshm::remotecall_fetch(look_up, caching, std::size_t{77});
    const auto moved = dshm::counters().bytes_moved - before;
    std::cout << "100 calls moved the table once: " << (moved < 2 * sizeof table) << '\n';

    // Members that have ended are passed over; the default pool grows with addprocs.
    dshm::rmprocs(first);
    std::cout << "members now: " << pool.size() << ", and it is "
              << (dshm::remotecall_fetch([] { return dshm::myid(); }, pool) == second
                      ? "the other one"
                      : "nobody I know")
              << '\n';
    const auto size = dshm::default_worker_pool().size();
    dshm::addprocs(1);
    std::cout << "new in the default pool: " << dshm::default_worker_pool().size() - size << '\n';
}
