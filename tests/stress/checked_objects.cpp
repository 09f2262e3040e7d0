// Arrays, pools and shared values of CheckedWork; see checked_work.hpp.
#include "checked_work.hpp"

namespace dshm::test {

// Pools of the workers that are there: calls, takes by hand, calls whose future nobody keeps.
void CheckedWork::pools() {
    constexpr std::size_t number = 15;
    const Cells ran(number);
    survives([&] {
        const WorkerPool pool(procs()); // the master is in it, so that it never runs out of members
        std::vector<Future<long>> futures;
        for (std::size_t i = 0; i < number; ++i) {
            const auto work = [ran, i] {
                ran.mark(i);
                return static_cast<long>(i);
            };
            if (i % 5 == 4)
                remote_do(work, pool);
            else
                survives([&] {
                    futures.push_back(remotecall(work, pool));
                    survives([&] {
                        futures.back().wait();
                        expect(futures.back().get(), static_cast<long>(i),
                               "a wrong value of a pool");
                        check_once(*ledger_, ran, i, true);
                    });
                });
        }
        const auto nested = spawn([pool] {
            const WorkerId taken = pool.take();
            pool.put(taken);
            return remotecall_fetch([](int x) { return x + 1; }, pool, 41);
        });
        gives(nested, 42);
        // Everybody comes back.
        std::vector<WorkerId> taken;
        while (taken.size() < pool.size())
            if (const auto id = pool.take_for(std::chrono::milliseconds(1)))
                taken.push_back(*id);
    });
    survives([&] {
        const CachingPool pool(procs());
        for (int i = 0; i < 10; ++i)
            expect(remotecall_fetch([](int x) { return x * x; }, pool, i), i * i,
                   "a wrong value of a caching pool");
    });
    for (std::size_t i = 0; i < number; ++i)
        check_once(*ledger_, ran, i, false);
}

// Arrays that are made, filled and dropped by anybody, and go from hand to hand.
void CheckedWork::arrays() {
    std::vector<Future<SharedArray<long>>> made;
    const std::size_t size = 1 + below(20'000);
    for (long i = 0; i < 10; ++i)
        made.push_back(spawn([i, size] {
            SharedArray<long> array(size);
            std::fill(array.begin(), array.end(), i);
            return array;
        }));
    std::vector<Future<long>> sums;
    for (const auto& array : made)
        sums.push_back(spawn([array] {
            const SharedArray<long> here = array.get();
            return std::accumulate(here.begin(), here.end(), 0L);
        }));
    for (long i = 0; i < 10; ++i) {
        const auto at = static_cast<std::size_t>(i);
        survives([&] {
            const SharedArray<long> array = made[at].get();
            expect(array[size - 1], i, "a wrong array");
        });
        gives(sums[at], i * static_cast<long>(size));
    }
}

// What the participants do together. Parts of the dead are done by others.
void CheckedWork::array_operations() {
    const std::size_t size = 5000 + below(20'000);
    survives([&] {
        const std::string name = "a" + std::to_string(random_());
        const SharedArray<long> array(size, init([](const SharedArray<long>& self) {
                                          for (const auto i : self.localindices())
                                              self[static_cast<std::size_t>(i)] = 1;
                                      }),
                                      named(name));
        gives(spawn([](const std::string& known) { return SharedArray<long>::open(known).at(0); },
                    name),
              1L);
        survives([&] {
            fill(array, 7L);
            expect(std::count(array.begin(), array.end(), 7L), static_cast<long>(size),
                   "fill has left elements out");
            expect(reduce(std::plus<>{}, array), 7L * static_cast<long>(size), "a wrong reduce");
        });
    });
    const SharedArray<long> numbers(size);
    for (long& number : numbers)
        number = static_cast<long>(random_());
    std::vector<long> expected(numbers.begin(), numbers.end());
    std::sort(expected.begin(), expected.end());
    const bool sorted = survives([&] { parallel::sort(numbers.begin(), numbers.end()); });
    if (!sorted)
        std::sort(numbers.begin(), numbers.end()); // all are there, in some order
    expect(std::equal(numbers.begin(), numbers.end(), expected.begin(), expected.end()), true,
           "sort has changed elements");
}

void CheckedWork::everywhere_once() {
    const std::vector<WorkerId> ids = procs();
    const std::size_t most = static_cast<std::size_t>(ids.back()) + 1;
    const Cells ran(most);
    const bool completed =
        survives([&] { everywhere(ids, [ran] { ran.mark(static_cast<std::size_t>(myid())); }); });
    for (const WorkerId id : ids)
        check_once(*ledger_, ran, static_cast<std::size_t>(id), completed);
}

void CheckedWork::shared_values() {
    const auto text = share(std::string(1 + below(50'000), 's'));
    const auto numbers = share(std::vector<std::string>(20, "shared"));
    const std::size_t size = text->size();
    std::vector<Future<std::size_t>> sizes;
    for (int i = 0; i < 10; ++i)
        sizes.push_back(spawn([text, numbers] {
            if (text->back() != 's' || numbers->at(19) != "shared")
                throw std::runtime_error("a damaged shared value");
            return text->size();
        }));
    for (const auto& one : sizes)
        gives(one, size);
}

} // namespace dshm::test
