// Calls: what travels, where it runs, and what comes back when it fails.

#include <list>
#include <map>
#include <numeric>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

struct Plain {
    int number;
    double weight;
    bool operator==(const Plain&) const = default;
};

double total(const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
}

template <class T>
void demand_round_trip(const T& value) {
    DEMAND(fetch([](const T& v) { return v; }, value) == value);
    DEMAND(fetch_from(
               1, [](const T& v) { return v; }, value) == value);
}

struct NotForAll : std::runtime_error {
    using std::runtime_error::runtime_error;
};
struct Registered : std::runtime_error {
    using std::runtime_error::runtime_error;
};

} // namespace

DSHM_EXCEPTION(Registered);

TEST_CASE("values of all kinds go there and back") {
    in_session(1, [] {
        demand_round_trip(42);
        demand_round_trip(true);
        demand_round_trip('c');
        demand_round_trip(1e300);
        demand_round_trip(Plain{1, 2.5});
        demand_round_trip(std::string());
        demand_round_trip(std::string("text"));
        demand_round_trip(std::string(1'000'000, 'x'));
        demand_round_trip(std::vector<double>(100'000, 0.5));
        demand_round_trip(std::vector<double>());
        demand_round_trip(std::vector<std::string>{"a", "", std::string(500, 'b')});
        demand_round_trip(std::vector<bool>{true, false, true});
        demand_round_trip(std::vector<std::vector<int>>{{1, 2}, {}, {3}});
        demand_round_trip(std::pair(1, std::string("two")));
        demand_round_trip(std::tuple(1, 2.0, std::string("three")));
        demand_round_trip(std::optional<std::string>("maybe"));
        demand_round_trip(std::map<std::string, int>{{"a", 1}, {"b", 2}});
        demand_round_trip(Eigen::MatrixXd(Eigen::MatrixXd::Random(7, 5)));
        demand_round_trip(Eigen::VectorXf(Eigen::VectorXf::Random(1000)));
        demand_round_trip(Eigen::MatrixXd(0, 3));
    });
}

TEST_CASE("functions of all kinds are called") {
    in_session(1, [] {
        DEMAND(fetch(total, std::vector<double>{1, 2, 3}) == 6);
        DEMAND(fetch(&total, std::vector<double>(10'000, 1)) == 10'000);
        DEMAND(fetch([](std::span<const double> v) { return v.size(); }, std::vector<double>(77)) ==
               77);
        const double factor = 3;
        const Plain plain{2, 0.5};
        DEMAND(fetch([factor, plain](double x) { return factor * x + plain.weight; }, 2.0) == 6.5);
        DEMAND(fetch(std::plus<>{}, 1, 2) == 3);
        DEMAND(fetch([n = 0](int by) mutable { return n += by; }, 5) == 5);
        DEMAND(fetch([](std::string mine) { return mine += " changed"; }, std::string("text")) ==
               "text changed");
        std::array<char, 4000> large{};
        large[3999] = 7;
        DEMAND(fetch([large] { return large[3999]; }) == 7);
        DEMAND(fetch([](std::string_view text) { return std::string(text); }, "literal") ==
               "literal");
    });
}

TEST_CASE("calls run where they are sent") {
    in_session(3, [] {
        for (const int id : procs()) {
            DEMAND(fetch_from(id, myid) == id);
            DEMAND(fetch(remotecall(myid, id)) == id);
            DEMAND(remotecall_fetch(myid, id) == id);
            DEMAND(remotecall_wait(myid, id).get() == id);
            const auto future = spawn_at(id, myid);
            DEMAND(future.where() == id);
            DEMAND(fetch(future) == id);
            DEMAND(everywhere(id, myid) == id);
        }
        const auto anywhere = spawn(myid);
        DEMAND(fetch(anywhere) == anywhere.where());
        DEMAND(fetch(anywhere) != 1); // there are workers
        thrown_by<std::runtime_error>(
            [] { remotecall_wait([] { throw std::runtime_error("no"); }, 2); });
    });
}

TEST_CASE("many tasks go to all workers") {
    in_session(2, [] {
        // Two tasks that wait for each other must be run by two workers.
        const Flag here, there;
        const auto first = spawn([here, there] {
            here.raise();
            there.await();
            return myid();
        });
        const auto second = spawn([here, there] {
            there.raise();
            here.await();
            return myid();
        });
        DEMAND(fetch(first) + fetch(second) == 5);
    });
}

TEST_CASE("remote_do runs once and prints its failure where it ran") {
    const Outcome outcome = in_session(1, [] {
        const SharedArray<int> ran(1);
        remote_do([ran](int by) { ran[0] += by; }, 2, 3);
        remote_do([] { throw std::runtime_error("remote_do failed"); }, 2);
        remote_do([ran](int by) { ran[0] += by; }, 2, 4);
        fetch_from(2, [] {});
        until([&] { return ran[0] == 7; });
    });
    CHECK(times(outcome.errors, "remote_do failed") == 1);
    CHECK_THAT(outcome.errors, contains("From worker 2:"));
}

TEST_CASE("everywhere runs on every process, and as often as an id is listed") {
    in_session(2, [] {
        const SharedArray<int> count(4);
        const auto note = [count] { ++count[static_cast<std::size_t>(myid())]; };
        everywhere(note);
        DEMAND(count[1] == 1 && count[2] == 1 && count[3] == 1);
        everywhere(std::vector<int>{2, 2, 3, 1}, note);
        DEMAND(count[1] == 2 && count[2] == 3 && count[3] == 2);
        everywhere(std::vector<int>{}, note);
        everywhere([count](int by) { count[static_cast<std::size_t>(myid())] += by; }, 10);
        DEMAND(count[1] == 12 && count[2] == 13 && count[3] == 12);
        DEMAND(fetch_from(2, [count] {
                   everywhere([count] { count[static_cast<std::size_t>(myid())] = 0; });
                   return count[1] + count[2] + count[3];
               }) == 0);
    });
}

TEST_CASE("everywhere collects failures in the order of the list") {
    in_session(3, [] {
        kill_worker(3);
        try {
            everywhere(std::vector<int>{4, 3, 1, 2}, [] {
                if (myid() != 1)
                    throw std::out_of_range("from " + std::to_string(myid()));
            });
            DEMAND(false);
        } catch (const CompositeException& error) {
            DEMAND(error.size() == 3);
            const auto text = [&](std::size_t i) {
                return thrown_by<std::exception>(
                    [&] { std::rethrow_exception(error.exceptions()[i]); });
            };
            DEMAND(has(text(0), "from 4"));
            DEMAND(has(text(1), "SIGKILL"));
            DEMAND(has(text(2), "from 2"));
        }
        thrown_by<std::out_of_range>(
            [] { everywhere(2, [] { throw std::out_of_range("plain"); }); });
    });
}

TEST_CASE("sync waits for all and gives the block's value") {
    in_session(2, [] {
        const SharedArray<int> done(100);
        const std::string value = sync([&] {
            for (int i = 0; i < 100; ++i)
                spawn([done, i] { done[static_cast<std::size_t>(i)] = 1; });
            return std::string("value");
        });
        DEMAND(value == "value");
        DEMAND(std::accumulate(done.begin(), done.end(), 0) == 100);
        // A task's own tasks are waited for by the task if it says so.
        sync([&] {
            spawn([done] {
                sync([done] {
                    for (int i = 0; i < 100; ++i)
                        spawn([done, i] { done[static_cast<std::size_t>(i)] = 2; });
                });
            });
        });
        DEMAND(std::accumulate(done.begin(), done.end(), 0) == 200);
        std::size_t many = 0;
        const SharedArray<std::size_t> count(1);
        sync([&] {
            for (; many < 100'000; ++many)
                spawn(
                    [count] { std::atomic_ref(count[0]).fetch_add(1, std::memory_order_relaxed); });
        });
        DEMAND(count[0] == many);
    });
}

TEST_CASE("sync throws all failures in start order, the block's own first") {
    in_session(2, [] {
        const SharedArray<int> ran(1);
        try {
            sync([&] {
                for (int i = 0; i < 10; ++i)
                    spawn([i] {
                        if (i % 3 == 0)
                            throw std::out_of_range("task " + std::to_string(i));
                    });
                spawn([ran] { ran[0] = 1; });
                throw std::runtime_error("block");
            });
            DEMAND(false);
        } catch (const CompositeException& error) {
            DEMAND(ran[0] == 1 && error.size() == 5);
            const char* const expected[] = {"block", "task 0", "task 3", "task 6", "task 9"};
            for (std::size_t i = 0; i < 5; ++i)
                DEMAND(has(thrown_by<std::exception>(
                               [&] { std::rethrow_exception(error.exceptions()[i]); }),
                           expected[i]));
            DEMAND(has(error.what(), "block") && has(error.what(), "4 more"));
        }
    });
}

TEST_CASE(
    "an inner sync waits for its own, the outer for the rest; fetch inside is not registered") {
    const Outcome outcome = in_session(2, [] {
        try {
            sync([] {
                spawn([] { throw std::runtime_error("outer"); });
                thrown_by<CompositeException>(
                    [] { sync([] { spawn([] { throw std::runtime_error("inner"); }); }); });
                thrown_by<std::runtime_error>(
                    [] { fetch([] { throw std::runtime_error("fetched"); }); });
                thrown_by<std::runtime_error>([] {
                    distributed(std::plus<>{}, range(0, 1),
                                [](long) -> int { throw std::runtime_error("loop"); });
                });
                thrown_by<std::runtime_error>([] {
                    pmap([](int) -> int { throw std::runtime_error("map"); }, std::vector<int>{1});
                });
            });
            DEMAND(false);
        } catch (const CompositeException& error) {
            DEMAND(error.size() == 1 && has(error.what(), "outer"));
        }
    });
    CHECK(outcome.errors == "");
}

TEST_CASE("exceptions arrive with their type, their text and where they were thrown") {
    in_session(2, [] {
        const auto thrown_there = [](auto make) { return spawn_at(2, [make] { throw make(); }); };
        DEMAND(has(thrown_by<std::out_of_range>(
                       [&] { fetch(thrown_there([] { return std::out_of_range("range"); })); }),
                   "range"));
        thrown_by<std::invalid_argument>(
            [&] { fetch(thrown_there([] { return std::invalid_argument("argument"); })); });
        thrown_by<std::bad_alloc>([&] { fetch(thrown_there([] { return std::bad_alloc(); })); });
        thrown_by<Registered>([&] { fetch(thrown_there([] { return Registered("mine"); })); });
        thrown_by<DimensionMismatch>(
            [&] { fetch(thrown_there([] { return DimensionMismatch("shape"); })); });
        DEMAND(has(thrown_by<std::runtime_error>(
                       [&] { fetch(thrown_there([] { return NotForAll("other"); })); }),
                   "other"));
        thrown_by<std::runtime_error>([] { fetch_from(2, [] { throw 42; }); });
        try {
            fetch_from(2, [] { throw std::out_of_range("where"); });
        } catch (const RemoteException& error) {
            DEMAND(error.pid() == 2);
            DEMAND(has(error.what(), "On worker 2") && has(error.what(), "where"));
            DEMAND(has(error.type_name(), "out_of_range"));
        }
        // Every fetch of every copy throws again.
        const auto future = spawn([] { throw std::length_error("again"); });
        const auto copy = future;
        for (int i = 0; i < 3; ++i)
            thrown_by<std::length_error>([&] { fetch(copy); });
        // A long text, and one with bytes that are not printable.
        DEMAND(has(thrown_by<std::runtime_error>([] {
                       fetch_from(2, [] { throw std::runtime_error(std::string(100'000, 'e')); });
                   }),
                   std::string(100'000, 'e')));
    });
}

TEST_CASE("an exception through two hops names both") {
    in_session(2, [] {
        try {
            fetch_from(
                2, [] { return fetch_from(3, []() -> int { throw std::out_of_range("deep"); }); });
            DEMAND(false);
        } catch (const std::out_of_range& error) {
            const auto* remote = dynamic_cast<const RemoteException*>(&error);
            DEMAND(remote != nullptr);
            const std::string text = remote->what();
            DEMAND(text.find("On worker 2") < text.find("On worker 3") && has(text, "deep"));
        }
        DEMAND(has(thrown_by<ProcessExitedException>(
                       [] { fetch_from(2, [] { fetch_from(3, [] { raise(SIGKILL); }); }); }),
                   "SIGKILL"));
        try {
            fetch_from(2, [] { sync([] { spawn([] { throw std::runtime_error("inside"); }); }); });
            DEMAND(false);
        } catch (const CompositeException& error) {
            DEMAND(has(error.what(), "inside"));
        }
    });
}

TEST_CASE("workers call each other and themselves, as deep as they like") {
    in_session(2, [] {
        DEMAND(fetch_from(2, [] {
                   return fetch_from(
                       3, [] { return fetch_from(2, [] { return fetch_from(1, myid); }); });
               }) == 1);
        DEMAND(fetch_from(2, [] { return fetch_from(2, myid); }) == 2);
        struct Fibonacci {
            long operator()(int n) const {
                if (n < 2)
                    return n;
                const auto left = spawn(Fibonacci{}, n - 1);
                const auto right = spawn(Fibonacci{}, n - 2);
                return fetch(left) + fetch(right);
            }
        };
        DEMAND(fetch(Fibonacci{}, 16) == 987);
        struct Ping {
            int operator()(int depth) const {
                return depth == 0 ? 0 : 1 + fetch_from(5 - myid(), Ping{}, depth - 1);
            }
        };
        DEMAND(fetch_from(2, Ping{}, 500) == 500);
        struct Self {
            int operator()(int depth) const {
                return depth == 0 ? 0 : 1 + fetch_from(myid(), Self{}, depth - 1);
            }
        };
        DEMAND(fetch_from(2, Self{}, 500) == 500);
    });
}

TEST_CASE("many tasks that each wait for a task of their own") {
    for (const int count : {1, 2})
        in_session(count, [] {
            std::vector<Future<int>> futures;
            for (int i = 0; i < 30'000; ++i)
                futures.push_back(spawn([i] { return fetch(spawn([i] { return i; })); }));
            for (int i = 0; i < 30'000; ++i)
                DEMAND(fetch(futures[static_cast<std::size_t>(i)]) == i);
        });
}

TEST_CASE("tasks sent to the master run while it waits") {
    in_session(2, [] {
        const SharedArray<int> count(1);
        for (int round = 0; round < 3; ++round)
            fetch_from(2, [count] {
                for (int i = 0; i < 100; ++i)
                    DEMAND(fetch_from(1, [count] {
                               ++count[0];
                               return myid();
                           }) == 1);
            });
        DEMAND(count[0] == 300);
        // From all workers at once, more than an inbox holds.
        sync([&] {
            for (const int id : workers())
                spawn_at(id, [count] {
                    sync([count] {
                        for (int i = 0; i < 5000; ++i)
                            spawn_at(1, [count] { ++count[0]; });
                    });
                });
        });
        DEMAND(count[0] == 10'300);
    });
}

TEST_CASE("the master sends more to one worker than its inbox holds") {
    in_session(2, [] {
        const SharedArray<int> count(1);
        sync([&] {
            for (int i = 0; i < 20'000; ++i)
                spawn_at(2, [count] { ++count[0]; });
        });
        DEMAND(count[0] == 20'000);
        // And a worker to another while that one sends to it.
        const auto flood = [count](int to) {
            sync([&] {
                for (int i = 0; i < 10'000; ++i)
                    spawn_at(to, [count] { std::atomic_ref(count[0]).fetch_add(1); });
            });
        };
        sync([&] {
            spawn_at(2, flood, 3);
            spawn_at(3, flood, 2);
        });
        DEMAND(count[0] == 40'000);
    });
}

TEST_CASE("several threads of the master call at once") {
    in_session(2, [] {
        std::vector<std::thread> threads;
        std::atomic<int> right{0};
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([t, &right] {
                for (int i = 0; i < 300; ++i) {
                    if (fetch([t, i] { return 1000 * t + i; }) == 1000 * t + i)
                        ++right;
                    if (fetch_from(
                            2 + i % 2, [](const std::string& s) { return s + "!"; },
                            std::to_string(i)) == std::to_string(i) + "!")
                        ++right;
                }
                sync([&] {
                    for (int i = 0; i < 300; ++i)
                        spawn([] {});
                });
                const SharedArray<int> mine(100);
                sync([&] {
                    distributed(mine.indices(), [mine, t](std::size_t i) { mine[i] = t; });
                });
                for (const int one : mine)
                    right += one == t ? 1 : 0;
                right += static_cast<int>(
                    pmap([](int i) { return i; }, std::vector<int>(100, 1)).size());
            });
        for (std::thread& thread : threads)
            thread.join();
        DEMAND(right == 4 * (600 + 100 + 100));
    });
}

TEST_CASE("a task's own threads may call, too") {
    in_session(2, [] {
        DEMAND(fetch_from(2, [] {
                   std::atomic<int> sum{0};
                   std::vector<std::thread> threads;
                   for (int t = 0; t < 3; ++t)
                       threads.emplace_back([&sum] {
                           for (int i = 0; i < 100; ++i)
                               sum += fetch_from(3, [] { return 1; });
                       });
                   for (std::thread& thread : threads)
                       thread.join();
                   return sum.load();
               }) == 300);
    });
}

TEST_CASE("counters say what was done and what was moved") {
    in_session(2, [] {
        const Counters before = counters();
        for (int i = 0; i < 10; ++i)
            fetch([] {});
        thrown_by<std::runtime_error>([] { fetch([] { throw std::runtime_error("counted"); }); });
        fetch_from(
            2, [](const std::vector<double>& v) { return v; }, std::vector<double>(1000));
        until([&] { return (counters() - before).tasks_done == 11; });
        const Counters spent = counters() - before;
        DEMAND(spent.tasks_spawned == 12 && spent.tasks_failed == 1);
        DEMAND(spent.bytes_sent >= 8000 && spent.bytes_returned >= 8000);
        DEMAND(spent.bytes_moved == spent.bytes_sent + spent.bytes_returned);
        kill_worker(2);
        DEMAND((counters() - before).tasks_done == 11);
    });
}
