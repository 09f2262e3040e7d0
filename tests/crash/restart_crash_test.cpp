// Workers of a session that replaces them die at each touch of what they work on: tasks are begun anew by
// their successors, with the values that they had, and given up after some deaths; pools have the
// successor in the place of the dead.
#include "support/crash_recovery.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Victim = CrashStage::Victim;
using Numbers = std::vector<double>;

const Numbers some(3, 1.5), many(2000, 0.1);

// Tasks for anyone and for the worker, with arguments and results in the record and in blocks, and handles.
struct Repeating {
    std::vector<Future<Numbers>> futures;
    std::optional<SharedArray<int>> begun;

    void before(CrashStage&, const Victim& first) {
        begun.emplace(8);
        const auto twice = [begun = *begun](int number, const Numbers& numbers) {
            ++begun[static_cast<std::size_t>(number)];
            Numbers result = numbers;
            result.insert(result.end(), numbers.begin(), numbers.end());
            return result;
        };
        futures = {spawn(twice, 0, some), spawn(twice, 1, many), spawn_at(first.id, twice, 2, many),
                   spawn_at(first.id, twice, 3, some)};
    }
    void victim(CrashStage&) {
        start_dying();
        work(8);
    }
    void replaced(CrashStage&, const Victim&) {}
    void after(CrashStage&, int deaths) {
        work(8); // the last worker may have left before it had begun all
        int failed = 0;
        for (std::size_t i = 0; i < futures.size(); ++i) {
            const Numbers& numbers = i == 0 || i == 3 ? some : many;
            const bool came = resolves(futures[i], [&](const Numbers& result) {
                return result.size() == 2 * numbers.size() && result.front() == numbers.front() &&
                       result.back() == numbers.back();
            });
            failed += !came;
            REQUIRE((*begun)[i] <= deaths + 1);
            REQUIRE((!came || (*begun)[i] >= 1));
        }
        // One that had answered already, or has ended too many workers: one for each death at most.
        REQUIRE(failed <= deaths);
        futures.clear();
        begun.reset();
    }
};

// A call inside of a call: the outer one is begun anew, and spawns the inner ones anew.
struct Nested {
    std::optional<Future<double>> outer;

    void before(CrashStage&, const Victim& first) {
        outer = spawn_at(first.id, [] {
            start_dying();
            auto own = spawn_at(
                myid(), [](const Numbers& numbers) { return numbers[7]; }, many);
            return own.get() + fetch([] { return 1.0; });
        });
    }
    void victim(CrashStage&) { work(4); }
    void replaced(CrashStage&, const Victim&) {}
    void after(CrashStage&, int deaths) {
        work(8); // what the dead had sent for anyone
        const bool came = resolves(*outer, [](double value) { return value == 1.1; });
        REQUIRE((came || deaths != 0));
        outer.reset();
    }
};

// A pool of the master and a worker: the successor is a member in its place, taken by nobody.
struct Pooling {
    std::optional<WorkerPool> pool;

    void before(CrashStage&, const Victim& first) {
        pool.emplace(std::vector<WorkerId>{1, first.id});
        spawn_at(first.id, [pool = *pool] {
            start_dying();
            const WorkerId one = pool.take(), other = pool.take();
            pool.put(one);
            pool.put(other);
        });
    }
    void victim(CrashStage&) { work(1); }
    void replaced(CrashStage&, const Victim& now) {
        std::vector<WorkerId> members = pool->workers();
        std::sort(members.begin(), members.end());
        REQUIRE(members == std::vector<WorkerId>{1, now.id});
        const auto one = pool->try_take(), other = pool->try_take();
        REQUIRE((one && other && *one + *other == 1 + now.id));
        pool->put(*one);
        pool->put(*other);
    }
    void after(CrashStage&, int) {
        work(2);
        REQUIRE(pool->workers() == std::vector<WorkerId>{1});
        pool.reset();
    }
};

} // namespace

TEST_CASE("a task is begun anew after each death") {
    kill_lives<Repeating>(1);
    kill_lives<Repeating>(4, 3);
}
TEST_CASE("a task that waits for tasks is begun anew after each death") {
    kill_lives<Nested>(1);
    kill_lives<Nested>(2, 5);
}
TEST_CASE("a successor is a member of the pools of the dead") { kill_lives<Pooling>(1); }
TEST_CASE("at each place that victims have passed, one has died") { check_places(); }
