// Futures in the hands of several processes: sent as arguments, captured, returned, put by whoever
// holds them, and freed with the last holder.

#include <chrono>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

namespace {

// Task records that are not free: every future and every call under way is one.
std::size_t records_in_use() {
    runtime::TaskTable& tasks = runtime::current().tasks();
    std::size_t used = 0;
    for (std::uint32_t index = 0; index < tasks.top(); ++index)
        used +=
            runtime::TaskState::from_bits(tasks.record(index).state.load(std::memory_order_acquire))
                        .phase != runtime::TaskPhase::free
                ? 1
                : 0;
    return used;
}

// Pins and shares of idle processes go when they next look: here they are made to.
void until_records_are(std::size_t expected) {
    until([expected] {
        for (const WorkerId id : procs())
            fetch_from(id, [] { runtime::current().holdings().release_pins(); });
        return records_in_use() == expected;
    });
}

struct Refusing {
    bool refuses = false;
    std::string text = "not trivially copyable, so that its functions count";
    template <class Archive>
    void serialize(Archive& archive) {
        if (refuses)
            throw std::domain_error("not this one");
        archive(refuses);
    }
};

} // namespace

TEST_CASE("a future is put by another process, once") {
    in_session(2, [] {
        const Future<std::string> answer;
        const auto putter = spawn_at(2, [answer] { answer.put("from 2"); });
        DEMAND(answer.fetch() == "from 2");
        putter.wait();
        const std::string twice =
            thrown_by<std::logic_error>([&] { fetch_from(3, [answer] { answer.put("again"); }); });
        DEMAND(has(twice, "only once"));
        thrown_by<std::logic_error>([&] { answer.put("again"); });
        DEMAND(fetch(answer) == "from 2");
        DEMAND(answer.where() == 1);
        DEMAND(fetch_from(2, [answer] { return answer.where(); }) == 1);
    });
}

TEST_CASE("a task's result is read by every process that has its future") {
    in_session(3, [] {
        const Flag go;
        const auto numbers = spawn_at(2, [go] {
            go.await();
            return std::vector<int>(1000, 7);
        });
        std::vector<Future<int>> readers;
        for (const WorkerId id : {3, 4, 1})
            readers.push_back(spawn_at(id, [numbers] { return numbers.fetch().at(999); }));
        // As an argument, and inside a container.
        const auto sum = spawn_at(
            3,
            [](const std::vector<Future<std::vector<int>>>& parts) {
                std::size_t size = 0;
                for (const auto& part : parts)
                    size += part.get().size();
                return size;
            },
            std::vector{numbers, numbers});
        go.raise();
        for (const auto& reader : readers)
            DEMAND(fetch(reader) == 7);
        DEMAND(fetch(sum) == 2000);
    });
}

TEST_CASE("threads of several processes read one future") {
    in_session(2, [] {
        const Future<int> value;
        const auto read_by_threads = [value] {
            std::atomic<int> sum = 0;
            std::vector<std::thread> threads;
            for (int i = 0; i < 4; ++i)
                threads.emplace_back([&] { sum += value.fetch(); });
            for (std::thread& thread : threads)
                thread.join();
            return sum.load();
        };
        const auto there = spawn_at(2, read_by_threads);
        const auto too = spawn_at(3, read_by_threads);
        value.put(5);
        DEMAND(fetch(there) == 20 && fetch(too) == 20);
        DEMAND(read_by_threads() == 20);
    });
}

TEST_CASE("a future is a result, and a future of a future is fetched twice") {
    in_session(2, [] {
        const auto outer =
            spawn_at(2, [] { return spawn_at(3, [] { return std::string("deep"); }); });
        DEMAND(outer.get().get() == "deep");
        const auto made_there = fetch_from(2, [] {
            const Future<int> mine;
            return mine;
        });
        DEMAND(made_there.where() == 2);
        fetch_from(3, [made_there] { made_there.put(4); });
        DEMAND(fetch(made_there) == 4);
    });
}

TEST_CASE("a failure is thrown at every holder, by its type, and not printed") {
    const Outcome outcome = in_session(2, [] {
        const auto failing = spawn_at(2, []() -> int { throw std::out_of_range("far"); });
        const std::string there = thrown_by<std::out_of_range>(
            [&] { fetch_from(3, [failing] { return failing.get(); }); });
        DEMAND(has(there, "On worker 3:") && has(there, "On worker 2:") && has(there, "far"));
        const auto looked = fetch_from(3, [failing] {
            try {
                failing.wait();
            } catch (const RemoteException&) {
                return true;
            }
            return false;
        });
        DEMAND(looked);
    });
    CHECK(outcome.errors.empty());
}

TEST_CASE("a failure that no holder looked at is printed once") {
    const Outcome outcome = in_session(2, [] {
        {
            const Flag hold;
            const auto failing = spawn_at(2, []() -> int { throw std::runtime_error("unseen"); });
            const auto keeper = spawn_at(3, [failing, hold] { hold.await(); });
            until([&] { return failing.isready(); });
            hold.raise();
            keeper.wait();
        }
        until_records_are(0);
    });
    CHECK(times(outcome.errors, "unseen") == 1);
}

TEST_CASE("a future's record is freed with its last holder, wherever that is") {
    in_session(2, [] {
        until_records_are(0);
        {
            const auto kept = spawn_at(2, [] { return std::string(100'000, 'x'); });
            DEMAND(fetch_from(3, [kept] { return kept.fetch().size(); }) == 100'000);
            const Future<int> open;
            fetch_from(2, [open] { open.put(1); });
            const Future<int> never;
            fetch_from(2, [never] { return never.isready(); });
            DEMAND(records_in_use() >= 3);
        }
        until_records_are(0);
        // The spawner lets go first.
        const Flag go;
        auto value = std::make_unique<Future<int>>(spawn_at(2, [go] {
            go.await();
            return 3;
        }));
        const auto later = spawn_at(3, [number = *value, go] {
            const int three = number.get();
            return three;
        });
        value.reset();
        go.raise();
        DEMAND(fetch(later) == 3);
    });
}

TEST_CASE("what dead processes held of a future goes with them") {
    in_session(3, [] {
        const Flag stay;
        {
            const Future<int> open;
            const auto done = spawn_at(2, [] { return 5; });
            std::vector<Future<void>> keepers;
            const SharedArray<int> holding(1);
            for (const WorkerId id : {3, 4})
                keepers.push_back(spawn_at(id, [open, done, stay, holding] {
                    done.wait();
                    std::atomic_ref(holding[0]).fetch_add(1);
                    stay.await();
                }));
            until([&] { return std::atomic_ref(holding[0]).load() == 2; });
            kill_worker(3);
            open.put(1);
            DEMAND(fetch(open) == 1 && fetch(done) == 5);
            kill_worker(4);
            for (const auto& keeper : keepers)
                thrown_by<ProcessExitedException>([&] { keeper.wait(); });
        }
        until_records_are(0);
    });
}

TEST_CASE("a future whose spawner died is fetched by those it was sent to") {
    in_session(2, [] {
        const Flag go;
        const auto relayed = fetch_from(2, [go] {
            return spawn_at(3, [go] {
                go.await();
                return std::string("alive");
            });
        });
        kill_worker(2);
        go.raise();
        DEMAND(fetch(relayed) == "alive");
    });
}

TEST_CASE("an open future fails when its owner dies, and only then") {
    in_session(3, [] {
        const Future<int> there(2), here;
        const auto waiter = spawn_at(3, [there] { return there.get(); });
        const auto other = spawn_at(4, [here] { return here.get(); });
        DEMAND(there.where() == 2);
        kill_worker(2);
        const std::string text = thrown_by<ProcessExitedException>([&] { there.wait(); });
        DEMAND(has(text, "SIGKILL") && has(text, "owned"));
        thrown_by<ProcessExitedException>([&] { waiter.get(); });
        thrown_by<std::logic_error>([&] { there.put(1); });
        here.put(9);
        DEMAND(fetch(other) == 9);
        thrown_by<ProcessExitedException>([] { const Future<int> late(2); });
        thrown_by<std::invalid_argument>([] { const Future<int> nobody(77); });
    });
}

TEST_CASE("a putter that dies half-way leaves a failure, not a hang") {
    in_session(2, [] {
        struct DeadlyValue {
            std::string value = "x";
            void save(ship::WriteArchive& archive) const {
                if (archive.writer().counting())
                    return archive(value), void();
                raise(SIGKILL);
            }
            void load(ship::ReadArchive& archive) { archive(value); }
        };
        const Future<DeadlyValue> victim;
        const auto putter = spawn_at(2, [victim] { victim.put(DeadlyValue{}); });
        thrown_by<ProcessExitedException>([&] { victim.wait(); });
        thrown_by<ProcessExitedException>([&] { putter.wait(); });
    });
}

TEST_CASE("a value that cannot be encoded leaves the future open") {
    in_session(1, [] {
        const Future<Refusing> future;
        thrown_by<std::domain_error>([&] { future.put(Refusing{true}); });
        DEMAND(!future.isready());
        future.put(Refusing{});
        DEMAND(!future.get().refuses);
    });
}

TEST_CASE("a result that has left the table is sent to others all the same") {
    in_session(2, [] {
        const auto text = spawn_at(2, [] { return std::string("moved"); });
        const auto failing = spawn_at(2, []() -> int { throw std::range_error("moved too"); });
        const auto nested = spawn_at(2, [] { return std::vector{spawn([] { return 8; })}; });
        text.wait();
        until([&] { return failing.isready() && nested.isready(); });
        runtime::current().holdings().make_room();
        for (int i = 0; i < 2; ++i)
            DEMAND(fetch_from(3, [text] { return text.fetch(); }) == "moved");
        thrown_by<std::range_error>([&] { fetch_from(3, [failing] { return failing.get(); }); });
        DEMAND(fetch_from(3, [nested] { return nested.get().at(0).get(); }) == 8);
        DEMAND(fetch(text) == "moved" && nested.get().at(0).get() == 8);
    });
}

TEST_CASE("hundreds of futures go round among workers that are killed, and none is left") {
    in_session(4, [] {
        for (int round = 0; round < 20; ++round) {
            std::vector<Future<int>> values;
            for (int i = 0; i < 20; ++i)
                values.push_back(spawn([i] { return i; }));
            std::vector<Future<int>> sums;
            for (int i = 0; i < 20; ++i)
                sums.push_back(spawn(
                    [](const std::vector<Future<int>>& parts) {
                        int sum = 0;
                        for (const auto& part : parts)
                            sum += part.get();
                        return sum;
                    },
                    values));
            const WorkerId victim = workers().front();
            kill(worker_info(victim).os_pid, SIGKILL);
            for (const auto& sum : sums)
                try {
                    DEMAND(fetch(sum) == 190);
                } catch (const ProcessExitedException&) {
                } // it ran there, or what it read did
            until([&] { return has_ended(victim); });
            addprocs(1);
        }
        until_records_are(0);
    });
}

TEST_CASE("a loop's future stays at home") {
    in_session(2, [] {
        const auto loop = distributed(range(0, 4), [](long) {});
        const std::string text =
            thrown_by<std::invalid_argument>([&] { spawn([loop] { loop.wait(); }); });
        DEMAND(has(text, "loop"));
        loop.wait();
    });
}
