// Workers that use a pool, and are its members, are killed at random. At the end every living member
// is there and free, nobody was used by two at a time but for those whose holder had died, and nothing
// is left.
#include <cstdlib>
#include <random>

#include "dshm/worker_pool.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// DSHM_STRESS_KILLS=300 for a long run.
int kills() {
    const char* const text = std::getenv("DSHM_STRESS_KILLS");
    return text != nullptr ? std::atoi(text) : 40;
}

// What users do until they are killed: calls through the pool, takes by hand, waits for both.
void use(const WorkerPool& pool, const SharedArray<int>& stop, unsigned seed) {
    std::minstd_rand random(seed);
    while (std::atomic_ref(stop[0]).load(std::memory_order_acquire) == 0)
        try {
            switch (random() % 4) {
            case 0:
                if (remotecall_fetch([](int x) { return x + 1; }, pool, 1) != 2)
                    std::abort();
                break;
            case 1: {
                const WorkerId id = pool.take();
                pool.put(id);
                break;
            }
            case 2:
                remotecall([] { return std::string(1000, 'x'); }, pool); // dropped
                break;
            default:
                remote_do([] {}, pool);
            }
        } catch (const ProcessExitedException&) {
            // the worker that had the call
        }
}

} // namespace

TEST_CASE("a pool outlives its users and its members") {
    in_session(5, [] {
        alarm(170);
        const WorkerPool pool({1}); // never without a living member
        for (const WorkerId id : workers())
            pool.push(id);
        const SharedArray<int> stop(1);
        unsigned seed = 1;
        std::vector<Future<void>> users;
        for (const WorkerId id : workers())
            users.push_back(spawn_at(id, use, pool, stop, ++seed));
        std::minstd_rand random(7);
        for (int i = 0; i < kills(); ++i) {
            for (int calls = 0; calls < 20; ++calls)
                try {
                    remotecall_wait([] {}, pool);
                } catch (const ProcessExitedException&) {
                }
            const auto there = workers();
            kill_worker(there[random() % there.size()]);
            const WorkerId late = addprocs(1)[0];
            pool.push(late);
            users.push_back(spawn_at(late, use, pool, stop, ++seed));
        }
        std::atomic_ref(stop[0]).store(1, std::memory_order_release);
        for (const auto& user : users)
            try {
                user.wait();
            } catch (const ProcessExitedException&) {
            }
        DEMAND(pool.size() == 6);
        for (int i = 0; i < 6; ++i)
            pool.take(); // would wait for ever if one were lost
        DEMAND(!pool.try_take());
    });
}
