// Futures: what they hold, how often they may be put and fetched, how many there may be.

#include <chrono>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

TEST_CASE("a future is put once and fetched often") {
    in_session(1, [] {
        const Future<std::string> future;
        DEMAND(!future.isready() && !isready(future));
        DEMAND(!future.wait_for(0ms) && !future.wait_for(1ms));
        future.put("value");
        DEMAND(future.isready() && future.wait_for(0ms));
        DEMAND(future.fetch() == "value" && future.get() == "value" && fetch(future) == "value");
        thrown_by<std::logic_error>([&] { future.put("again"); });
        DEMAND(fetch(future) == "value");
        DEMAND(future.where() == 1);
        DEMAND(&future.fetch() == &future.fetch());

        const Future<void> nothing;
        DEMAND(!nothing.isready());
        put(Future<int>{}, 1);
        nothing.put();
        nothing.fetch();
        wait(nothing);
        thrown_by<std::logic_error>([&] { nothing.put(); });
    });
}

TEST_CASE("a task's future cannot be put") {
    in_session(1, [] {
        const auto future = spawn([] { return 1; });
        thrown_by<std::logic_error>([&] { future.put(2); });
        DEMAND(fetch(future) == 1);
        thrown_by<std::logic_error>([&] { future.put(2); });
        DEMAND(fetch(future) == 1);
    });
}

TEST_CASE("copies of a future share its value, whichever goes first") {
    in_session(1, [] {
        auto first = std::make_unique<Future<std::vector<int>>>(
            spawn([] { return std::vector<int>(1000, 7); }));
        Future<std::vector<int>> copy = *first;
        Future<std::vector<int>> other;
        other = copy;
        first.reset();
        DEMAND(fetch(copy) == std::vector<int>(1000, 7));
        copy = Future<std::vector<int>>();
        DEMAND(std::move(other).fetch() == std::vector<int>(1000, 7));
        Future<std::vector<int>> moved = std::move(other);
        DEMAND(moved.get().size() == 1000);
        thrown_by<std::logic_error>([&] { other.wait(); });
    });
}

TEST_CASE("a value outlives the worker that made it") {
    in_session(1, [] {
        const auto number = spawn_at(2, [] { return 6 * 7; });
        const auto text = spawn_at(2, [] { return std::string(100'000, 'x'); });
        number.wait();
        text.wait();
        kill_worker(2);
        DEMAND(fetch(number) == 42 && fetch(text) == std::string(100'000, 'x'));
        DEMAND(number.where() == 2);
    });
}

TEST_CASE("waiting with a limit ends without the value, and later with it") {
    in_session(1, [] {
        const Flag go;
        const auto future = spawn([go] {
            go.await();
            return 5;
        });
        DEMAND(!future.wait_for(1ms));
        go.raise();
        DEMAND(future.wait_for(std::chrono::hours(1)));
        DEMAND(fetch(future) == 5);
    });
}

TEST_CASE("a program holds more finished futures than the task table has records") {
    in_session(2, [] {
        constexpr std::size_t many = 200'000;
        std::vector<Future<std::size_t>> futures;
        futures.reserve(many);
        for (std::size_t i = 0; i < many; ++i)
            futures.push_back(spawn([i] { return 3 * i; }));
        for (std::size_t i = 0; i < many; ++i)
            DEMAND(fetch(futures[i]) == 3 * i);
        // In any order, and again: they are still there.
        for (std::size_t i = many; i-- > 0;)
            DEMAND(futures[i].isready() && futures[i].get() == 3 * i);
    });
}

TEST_CASE("large results and failures may be held in any number, too") {
    const Outcome outcome = in_session(2, [] {
        constexpr int many = 70'000;
        std::vector<Future<std::string>> futures;
        for (int i = 0; i < many; ++i)
            futures.push_back(spawn([i] {
                if (i % 100 == 0)
                    throw std::out_of_range("number " + std::to_string(i));
                return std::string(200, static_cast<char>('a' + i % 26));
            }));
        for (int i = 0; i < many; ++i) {
            const auto& future = futures[static_cast<std::size_t>(i)];
            if (i % 100 == 0)
                DEMAND(has(thrown_by<std::out_of_range>([&] { fetch(future); }),
                           "number " + std::to_string(i)));
            else
                DEMAND(fetch(future) == std::string(200, static_cast<char>('a' + i % 26)));
        }
    });
    CHECK(outcome.errors == "");
}

TEST_CASE("futures of results with a SharedArray may be held in any number") {
    in_session(1, [] {
        const SharedArray<int> array(10);
        std::vector<Future<SharedArray<int>>> futures;
        for (int i = 0; i < 70'000; ++i)
            futures.push_back(spawn([array] { return array; }));
        for (const auto& future : futures)
            DEMAND(fetch(future).data() == array.data());
    });
}

TEST_CASE("open futures beyond what fits are refused or kept, but never waited for") {
    in_session(0, [] {
        std::vector<Future<int>> futures;
        try {
            for (int i = 0; i < 70'000; ++i)
                futures.emplace_back();
        } catch (const std::exception&) {
        }
        DEMAND(futures.size() > 1000);
        for (const auto& future : futures)
            future.put(1);
        DEMAND(fetch(futures.back()) == 1);
    });
}

TEST_CASE("what holds futures in a worker does not stop the master's spawns") {
    in_session(2, [] {
        const Flag holding, done;
        const auto holder = spawn_at(2, [holding, done] {
            std::vector<Future<int>> held;
            for (int i = 0; i < 65'000; ++i)
                held.push_back(spawn([] { return 1; }));
            for (const auto& future : held)
                future.wait();
            holding.raise();
            done.await();
            int sum = 0;
            for (const auto& future : held)
                sum += fetch(future);
            return sum;
        });
        holding.await();
        std::vector<Future<int>> mine;
        for (int i = 0; i < 3000; ++i)
            mine.push_back(spawn_at(3, [i] { return i; }));
        for (int i = 0; i < 3000; ++i)
            DEMAND(fetch(mine[static_cast<std::size_t>(i)]) == i);
        done.raise();
        DEMAND(fetch(holder) == 65'000);
    });
}

TEST_CASE("records are used again: many more tasks than the table has, none held") {
    in_session(2, [] {
        std::size_t sum = 0;
        for (std::size_t round = 0; round < 100; ++round) {
            std::vector<Future<std::size_t>> futures;
            for (std::size_t i = 0; i < 2000; ++i)
                futures.push_back(spawn([i] { return i; }));
            for (const auto& future : futures)
                sum += fetch(future);
        }
        DEMAND(sum == 100 * (1999 * 2000 / 2));
    });
}

TEST_CASE("a failure that nobody looks at is printed once, one that somebody saw is not") {
    const Outcome outcome = in_session(1, [] {
        const auto throwing = [](int number) {
            return [number] { throw std::runtime_error("failure " + std::to_string(number)); };
        };
        {
            const auto unseen = spawn(throwing(1));
            const auto copy = unseen;
            until([&] { return copy.isready(); }); // not looking
        }
        {
            const auto seen = spawn(throwing(2));
            thrown_by<std::runtime_error>([&] { fetch(seen); });
        }
        static_cast<void>(spawn(throwing(3))); // dropped before it ends, or after
        remote_do(throwing(4), 2);
        {
            const auto waited = spawn(throwing(5));
            thrown_by<std::runtime_error>([&] { waited.wait(); });
        }
        thrown_by<CompositeException>([&] { sync([&] { spawn(throwing(6)); }); });
        fetch_from(2, [] {});
    });
    CHECK(times(outcome.errors, "failure 1") == 1);
    CHECK(times(outcome.errors, "failure 2") == 0);
    CHECK(times(outcome.errors, "failure 3") == 1);
    CHECK(times(outcome.errors, "failure 4") == 1);
    CHECK(times(outcome.errors, "failure 5") == 0);
    CHECK(times(outcome.errors, "failure 6") == 0);
}

TEST_CASE("a future of a session that is over is refused") {
    const int status = run_in_child([] {
        alarm(case_seconds);
        std::optional<Future<int>> left;
        {
            Session session;
            left = spawn([] { return 1; });
            left->wait();
        }
        thrown_by<std::logic_error>([&] { left->get(); });
        Session next;
        thrown_by<std::logic_error>([&] { left->get(); });
    });
    CHECK(left_well(status));
}
