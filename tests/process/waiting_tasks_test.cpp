// Tasks that wait without blocking their process.

#include <algorithm>
#include <chrono>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

namespace {

long fibonacci(int n) {
    if (n < 2)
        return n;
    const Future<long> left = spawn([n] { return fibonacci(n - 1); });
    const long right = fibonacci(n - 2);
    return left.get() + right;
}

long nested_maps(int depth) {
    if (depth == 0)
        return 1;
    long sum = 0;
    for (const long value :
         pmap([](int below) { return nested_maps(below); }, std::vector<int>(2, depth - 1)))
        sum += value;
    return sum;
}

} // namespace

TEST_CASE("a worker whose task waits answers other calls") {
    in_session(1, [] {
        const Future<int> value;
        const auto waiting = spawn_at(2, [value] { return value.get(); });
        for (int i = 0; i < 100; ++i)
            DEMAND(fetch_from(2, [i] { return i; }) == i);
        value.put(7);
        DEMAND(fetch(waiting) == 7);
    });
}

TEST_CASE("waits end in any order, whatever was begun above them") {
    in_session(1, [] {
        std::vector<Future<int>> values(50);
        std::vector<Future<int>> tasks;
        for (const auto& value : values)
            tasks.push_back(spawn_at(2, [value] { return value.get(); }));
        fetch_from(2, [] {});
        for (std::size_t i = 0; i < values.size();
             ++i) { // the first begun first: the deepest, once
            values[i].put(static_cast<int>(i));
            DEMAND(fetch(tasks[i]) == static_cast<int>(i));
        }
    });
}

TEST_CASE("two tasks on one worker hand values to each other") {
    in_session(1, [] {
        const int rounds = 1000;
        using Values = std::vector<Future<int>>;
        const Values there(rounds), back(rounds);
        const auto player = [](const Values& in, const Values& out, bool begins) {
            int last = 0;
            for (std::size_t i = 0; i < in.size(); ++i) {
                if (begins)
                    out[i].put(last + 1);
                last = in[i].get();
                if (!begins)
                    out[i].put(last + 1);
            }
            return last;
        };
        const auto first = spawn_at(2, player, back, there, true);
        const auto second = spawn_at(2, player, there, back, false);
        DEMAND(fetch(first) == 2 * rounds);
        DEMAND(fetch(second) == 2 * rounds - 1);
    });
}

TEST_CASE("maps nested ten deep on two workers end") {
    in_session(2, [] { DEMAND(nested_maps(10) == 1024); });
}

TEST_CASE("Fibonacci of 25 by spawn and fetch") {
    in_session(2, [] { DEMAND(fetch([] { return fibonacci(25); }) == 75'025); });
}

TEST_CASE("Fibonacci without workers") {
    in_session(0, [] { DEMAND(fibonacci(20) == 6765); });
}

TEST_CASE("ten thousand tasks wait on one worker") {
    in_session(1, [] {
        const Future<int> go;
        std::vector<Future<int>> tasks;
        for (int i = 0; i < 10'000; ++i)
            tasks.push_back(spawn_at(2, [go, i] { return go.get() + i; }));
        DEMAND(fetch_from(2, [] { return myid(); }) == 2);
        go.put(1);
        for (int i = 0; i < 10'000; ++i)
            DEMAND(fetch(tasks[static_cast<std::size_t>(i)]) == i + 1);
    });
}

TEST_CASE("ten thousand waits that end one by one") {
    in_session(1, [] {
        std::vector<Future<int>> values(5'000);
        std::vector<Future<int>> tasks;
        for (const auto& value : values)
            tasks.push_back(spawn_at(2, [value] { return value.get(); }));
        fetch_from(2, [] {});
        for (std::size_t i = values.size(); i-- > 0;)
            values[i].put(static_cast<int>(i));
        for (std::size_t i = 0; i < tasks.size(); ++i)
            DEMAND(fetch(tasks[i]) == static_cast<int>(i));
    });
}

TEST_CASE("process 1 runs what is sent to it whenever it waits, and what that waits for") {
    in_session(2, [] {
        const auto relayed = spawn_at(2, [] {
            return fetch_from(1, [] { return fetch_from(3, [] { return fetch_from(1, myid); }); });
        });
        DEMAND(fetch(relayed) == 1);
        const Future<int> value;
        const auto here = spawn_at(1, [value] { return value.get(); });
        const auto more = spawn_at(1, [] { return 5; });
        DEMAND(fetch(more) == 5); // while the first waits
        value.put(6);
        DEMAND(fetch(here) == 6);
    });
}

TEST_CASE("sleeping tasks do not keep others from running, and wake in order of their times") {
    in_session(1, [] {
        const SharedArray<int> order(3), next(1);
        const auto sleeper = [order, next](int number, std::chrono::milliseconds time) {
            sleep_for(time);
            order[static_cast<std::size_t>(next[0]++)] = number;
        };
        std::vector<Future<void>> sleepers{spawn_at(2, sleeper, 2, 800ms),
                                           spawn_at(2, sleeper, 1, 200ms),
                                           spawn_at(2, sleeper, 0, 0ms)};
        DEMAND(fetch_from(2, [] { return 1; }) == 1);
        wait_all(sleepers);
        DEMAND(order[0] == 0 && order[1] == 1 && order[2] == 2);
    });
}

TEST_CASE("sync, timed waits and interrupts inside tasks that are set aside") {
    in_session(2, [] {
        const Flag go;
        const auto inside = spawn_at(2, [go] {
            int sum = 0;
            sync([&] {
                for (int i = 0; i < 10; ++i)
                    spawn_at(3, [go] { until([&] { return go.raised(); }); });
            });
            sum += 1;
            return sum;
        });
        const Future<int> never;
        const auto limited = spawn_at(2, [never] { return never.wait_for(20ms); });
        DEMAND(!fetch(limited));
        const auto victim = spawn_at(2, [never] { never.wait(); });
        fetch_from(2, [] {});
        victim.cancel();
        thrown_by<InterruptException>([&] { victim.wait(); });
        DEMAND(!inside.isready());
        go.raise();
        DEMAND(fetch(inside) == 1);
    });
}

TEST_CASE("exceptions in hand stay with their task while it waits") {
    in_session(1, [] {
        const Future<int> first, second;
        const auto handler = [](const Future<int>& value, const std::string& name) {
            try {
                throw std::runtime_error(name);
            } catch (const std::runtime_error& error) {
                const int got = value.get(); // another task throws and catches meanwhile
                if (std::uncaught_exceptions() != 0)
                    return std::string("uncaught");
                try {
                    throw;
                } catch (const std::runtime_error& again) {
                    return std::string(again.what()) + error.what() + std::to_string(got);
                }
            }
        };
        const auto one = spawn_at(2, handler, first, std::string("one"));
        const auto two = spawn_at(2, handler, second, std::string("two"));
        fetch_from(2, [] {
            try {
                throw 5;
            } catch (int) {
            }
        });
        first.put(1);
        DEMAND(fetch(one) == "oneone1");
        second.put(2);
        DEMAND(fetch(two) == "twotwo2");
    });
}

TEST_CASE("a destructor may wait while an exception passes") {
    in_session(1, [] {
        struct Waits {
            const Future<int>& value;
            int& got;
            ~Waits() { got = value.get(); }
        };
        const Future<int> value;
        const auto task = spawn_at(2, [value] {
            int got = 0;
            try {
                const Waits waits{value, got};
                throw std::runtime_error("passing");
            } catch (const std::runtime_error&) {
                return got;
            }
        });
        thrown_by<std::domain_error>(
            [] { fetch_from(2, [] { throw std::domain_error("other"); }); });
        value.put(8);
        DEMAND(fetch(task) == 8);
    });
}

TEST_CASE("thread_local is the worker's, for all its tasks") {
    in_session(1, [] {
        static thread_local int mark = 0;
        const Future<int> value;
        const auto waiting = spawn_at(2, [value] {
            mark = 1;
            value.wait();
            return mark;
        });
        fetch_from(2, [] { mark += 10; });
        value.put(0);
        DEMAND(fetch(waiting) == 11);
    });
}

TEST_CASE("a worker that is killed while tasks wait on it fails them all, once") {
    in_session(1, [] {
        const Future<int> never;
        std::vector<Future<int>> tasks;
        for (int i = 0; i < 100; ++i)
            tasks.push_back(spawn_at(2, [never] { return never.get(); }));
        fetch_from(2, [] {});
        kill_worker(2);
        for (const auto& task : tasks)
            DEMAND(has(thrown_by<ProcessExitedException>([&] { task.get(); }), "while running"));
    });
}

TEST_CASE("a worker that is told to go does not wait for tasks that wait") {
    in_session(1, [] {
        const Future<int> never;
        const auto waiting = spawn_at(2, [never] { return never.get(); });
        fetch_from(2, [] {});
        rmprocs(2);
        thrown_by<ProcessExitedException>([&] { waiting.get(); });
    });
}

TEST_CASE("several threads of the master wait, spawn and serve at once") {
    in_session(2, [] {
        std::atomic<int> sum = 0;
        std::vector<std::thread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&sum, t] {
                for (int i = 0; i < 50; ++i)
                    sum +=
                        fetch_from(2 + (t + i) % 2, [] { return fetch_from(1, [] { return 1; }); });
            });
        while (sum < 200)
            sleep_for(1ms); // the thread that runs what is sent here
        for (std::thread& thread : threads)
            thread.join();
        DEMAND(sum == 200);
    });
}

TEST_CASE("an overflowing stack is a crash of its worker that says so") {
    const Outcome outcome = in_session(1, [] {
        struct Deep {
            static int down(int n) {
                volatile char frame[4096];
                frame[n % 4096] = static_cast<char>(n);
                return n == -1 ? frame[0] : down(n + 1) + frame[n % 4096];
            }
        };
        const Future<int> never;
        const auto below = spawn_at(2, [never] { return never.get(); });
        const auto deep = spawn_at(2, [] { return Deep::down(0); });
        thrown_by<ProcessExitedException>([&] { deep.get(); });
        thrown_by<ProcessExitedException>([&] { below.get(); });
    });
    CHECK(times(outcome.errors, "stack overflow") == 1);
}
