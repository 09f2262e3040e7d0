// A worker that makes, shares and drops arrays and other objects of the session, or takes workers from a
// pool, dies at each touch of a shared word. Nobody else's are harmed, and its own go.
#include "support/crash_recovery.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

using Victim = CrashStage::Victim;

// Arrays of one chunk's part and of several chunks are made and dropped, and one with the elements of a vector.
struct Making {
    std::optional<Future<double>> done;

    void before(CrashStage&, const Victim& victim) {
        done = spawn_at(victim.id, [] {
            start_dying();
            SharedArray<double> small(50);
            SharedArray<double, 2> large({200, 100});
            const SharedArray<double> filled(std::vector<double>(3000, 0.25));
            large(199, 99) = 2;
            const auto copy = small;
            small = filled;
            return large(199, 99) + filled[2999] + copy[49];
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [](double value) { return value == 2.25; });
        REQUIRE((died || ended));
        done.reset();
    }
};

// The victim is sent arrays, one of which nobody else holds, and sends one back.
struct Sharing {
    std::optional<SharedArray<int>> shared;
    std::optional<Future<SharedArray<int>>> returned;

    void before(CrashStage&, const Victim& victim) {
        shared.emplace(1000);
        (*shared)[7] = 7;
        returned = spawn_at(victim.id, [shared = *shared, alone = SharedArray<int>(20'000)] {
            start_dying();
            SharedArray<int> result(5000);
            result[1] = shared[7] + alone[3] + 1;
            spawn_at(1, [result] { result[2] = 1; });
            return result;
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage& stage, bool died) {
        work(4);
        bool came = false;
        try {
            const SharedArray<int> result = returned->get();
            REQUIRE(result[1] == 8);
            came = true;
        } catch (const ProcessExitedException&) {
        }
        REQUIRE((died || came));
        REQUIRE((*shared)[7] == 7);
        *this = {};
        stage.account();
    }
};

// Given a name by the victim, and found by it.
struct Naming {
    std::optional<SharedArray<int>> named;
    std::optional<Future<int>> done;

    void before(CrashStage&, const Victim& victim) {
        named.emplace(100, dshm::named("of the master"));
        (*named)[3] = 3;
        done = spawn_at(victim.id, [] {
            start_dying();
            const auto own = SharedArray<int>(10'000, dshm::named("of the victim"));
            own[0] = SharedArray<int>::open("of the master")[3];
            return SharedArray<int>::open("of the victim")[0];
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [](int value) { return value == 3; });
        REQUIRE((died || ended));
        REQUIRE(SharedArray<int>::open("of the master")[3] == 3);
        named.reset();
        REQUIRE_THROWS_AS(SharedArray<int>::open("of the master"), std::out_of_range);
        REQUIRE_THROWS_AS(SharedArray<int>::open("of the victim"), std::out_of_range);
        done.reset();
    }
};

// A pool of the master and the victim, from which the victim takes, through which it calls, and one of its
// own.
struct Pooling {
    std::optional<WorkerPool> pool;
    std::optional<Future<int>> done;

    void before(CrashStage&, const Victim& victim) {
        pool.emplace(std::vector<WorkerId>{1});
        done = spawn_at(victim.id, [pool = *pool] {
            start_dying();
            const WorkerId one = pool.take();
            pool.put(one);
            pool.push(myid());
            remotecall([] {}, pool);
            const WorkerPool own({myid()});
            return own.take();
        });
    }
    void victim(CrashStage&) { work(1); }
    void after(CrashStage&, bool died) {
        const bool ended = resolves(*done, [](WorkerId worker) { return worker != 1; });
        REQUIRE((died || ended));
        work(4);
        REQUIRE(pool->workers() == std::vector<WorkerId>{1});
        REQUIRE(pool->try_take() == 1);
        pool->put(1);
        *this = {};
    }
};

} // namespace

TEST_CASE("a death while arrays are made and dropped") { kill_everywhere<Making>(); }
TEST_CASE("a death while arrays are sent and returned") { kill_everywhere<Sharing>(); }
TEST_CASE("a death while arrays have names") { kill_everywhere<Naming>(); }
TEST_CASE("a death of a user and member of a pool") { kill_everywhere<Pooling>(); }
TEST_CASE("burials of users of arrays and pools are stopped and begun again") {
    interrupt_burials<Sharing>(150);
    interrupt_burials<Pooling>(150);
}
TEST_CASE("at each place that victims have passed, one has died") { check_places(); }
