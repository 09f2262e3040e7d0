// What programs do with threads of their own inside of a session, in the master and in tasks; with OpenMP's in own_openmp_test.cpp.

#include <future>
#include <mutex>
#include <numeric>
#include <set>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// Runs `body(number)` in so many threads at once and passes on what they throw.
template <class Body>
void in_threads(int count, Body body) {
    std::vector<std::future<void>> threads;
    for (int i = 0; i < count; ++i)
        threads.push_back(std::async(std::launch::async, body, i));
    for (auto& thread : threads)
        thread.get();
}

int throw_here() { throw std::runtime_error("by a thread"); }

// One of each thread that has used it; the last to go says so.
std::atomic<int> locals_destroyed{0};
struct Local {
    int value = 1;
    ~Local() { ++locals_destroyed; }
};
thread_local Local local;

} // namespace

TEST_CASE("a task that waits for another in a thread of the master is not buried by one that waits "
          "for it") {
    in_session(0, [] {
        static std::atomic<bool> first_runs, second_runs, third_runs;
        first_runs = second_runs = third_runs = false;
        const auto parked = [] {
            return runtime::current().counters().get(runtime::Count::parked);
        };
        const Future<void> over;
        const Future<int> first = spawn([parked] {
            first_runs = true;
            while (!second_runs)
                sched_yield();
            // The second waits now, and has had its chance to begin the third.
            for (const std::uint64_t before = parked(); !third_runs && parked() == before;)
                sched_yield();
            return 1;
        });
        std::thread other([&] {
            while (!first_runs)
                sched_yield();
            over.wait(); // where both could begin
        });
        const Future<int> second = spawn([first] {
            second_runs = true;
            return first.get() + 1;
        });
        const Future<int> third = spawn([second] {
            third_runs = true;
            return second.get() + 1;
        });
        DEMAND(first.get() == 1);
        DEMAND(third.get() == 3);
        over.put();
        other.join();
    });
}

TEST_CASE("threads of the master spawn, fetch, map, loop and send all at once") {
    in_session(2, [] {
        const RemoteChannel<int> channel(8);
        in_threads(6, [&](int number) {
            const std::vector<int> elements{1, 2, 3, 4, 5};
            for (int i = 0; i < 30; ++i) {
                DEMAND(fetch([i] { return i; }) == i);
                DEMAND(fetch_from(2 + i % 2, myid) == 2 + i % 2);
                DEMAND(fetch_from(1, [] { return 7; }) == 7);
                DEMAND(pmap([number](int e) { return e * number; }, elements)[4] == 5 * number);
                DEMAND(distributed(std::plus<>{}, range(0, 100), [](long e) { return e; }) == 4950);
                const SharedArray<int> array(100);
                fetch([array] { std::iota(array.begin(), array.end(), 0); });
                DEMAND(array[99] == 99);
                if (number % 2 == 0)
                    channel.put(i);
                else
                    DEMAND(channel.take() < 30);
            }
        });
        DEMAND(!channel.isready());
    });
}

TEST_CASE("threads of the master wait for one future, and for each other's") {
    in_session(2, [] {
        const Future<int> future;
        const auto same = spawn([future] { return future.get() + 1; });
        in_threads(6, [&](int number) {
            if (number == 0)
                future.put(41);
            DEMAND(same.get() == 42 && future.get() == 41);
        });
    });
}

TEST_CASE("threads that add and remove workers at once get workers of their own") {
    in_session(1, [] {
        std::mutex lock;
        std::set<int> seen;
        in_threads(6, [&](int) {
            for (int i = 0; i < 4; ++i) {
                const std::vector<int> ids = addprocs(1 + i % 2);
                DEMAND(ids.size() == static_cast<std::size_t>(1 + i % 2));
                for (const int id : ids) {
                    DEMAND(fetch_from(id, myid) == id);
                    const std::lock_guard guard(lock);
                    DEMAND(seen.insert(id).second);
                }
                rmprocs(ids).wait();
                for (const int id : ids)
                    DEMAND(has_ended(id));
            }
        });
        DEMAND(seen.size() == 36 && *seen.begin() == 3 && *seen.rbegin() == 38);
        DEMAND(workers() == std::vector<int>{2} && fetch_from(2, myid) == 2);
    });
}

TEST_CASE("threads that come, use the session and go leave nothing behind") {
    in_session(1, [] {
        const auto use = [] {
            DEMAND(fetch([] { return 1; }) == 1);
            const SharedArray<int> array(10);
        };
        std::thread(use).join();
        const auto before = counters().heap_blocks;
        for (int i = 0; i < 200; ++i)
            std::thread(use).join();
        DEMAND(counters().heap_blocks <= before + 2);
    });
}

TEST_CASE("a thread of the master that is still there when the session ends") {
    static std::atomic<bool> over{false};
    in_session(1, [] {
        std::thread([] {
            until([] { return over.load(); });
            try {
                fetch([] { return 1; });
            } catch (const std::exception&) {
            }
        }).detach();
        fetch([] {});
    });
}

TEST_CASE("a task has threads, which compute and use the session") {
    in_session(2, [] {
        const long sum = fetch_from(2, [] {
            std::atomic<long> total{0};
            in_threads(4, [&](int number) {
                DEMAND(myid() == 2);
                for (int i = 0; i < 20; ++i) {
                    total += fetch_from(3, [number] { return number; });
                    total += fetch(spawn([] { return 1; }));
                    const SharedArray<int> array(100);
                    fetch_from(3, [array] { array[7] = 9; });
                    total += array[7];
                    const Future<int> future;
                    fetch_from(3, [future] { future.put(5); });
                    total += future.get();
                }
            });
            return total.load();
        });
        DEMAND(sum == 20 * (0 + 1 + 2 + 3) + 4 * 20 * (1 + 9 + 5));
        DEMAND(fetch_from(2, myid) == 2);
    });
}

TEST_CASE("async and futures of std in tasks") {
    in_session(2, [] {
        for (int i = 0; i < 20; ++i)
            DEMAND(fetch([i] {
                       auto half = std::async(std::launch::async, [i] { return i; });
                       auto later = std::async(std::launch::deferred, [i] { return i; });
                       return half.get() + later.get();
                   }) == 2 * i);
        DEMAND(thrown_by<std::runtime_error>([] {
                   fetch([] { return std::async(std::launch::async, throw_here).get(); });
               }).find("by a thread") != std::string::npos);
    });
}

TEST_CASE("a thread that outlives its task goes on beside the next ones") {
    in_session(2, [] {
        const Flag go, done;
        fetch_from(2, [go, done] {
            std::thread([go, done] {
                go.await();
                if (fetch_from(3, myid) == 3)
                    done.raise();
            }).detach();
        });
        DEMAND(fetch_from(2, myid) == 2);
        go.raise();
        done.await();
        // And a worker does not wait for it when it is sent home.
        fetch_from(2, [] {
            std::thread([] {
                for (;;)
                    pause();
            }).detach();
        });
        rmprocs(2).wait();
        DEMAND(has_ended(2) && !has(worker_info(2).exit_reason, "SIG")); // it left by itself
    });
}

TEST_CASE("a thread that throws ends its worker, and it is said which thread") {
    const Outcome outcome = in_session(2, [] {
        const std::string text = thrown_by<ProcessExitedException>([] {
            fetch_from(2, [] {
                std::thread([] {
                    pthread_setname_np(pthread_self(), "bad one");
                    throw_here();
                }).join();
            });
        });
        DEMAND(has(text, "SIGABRT") && has(text, "bad one"));
        DEMAND(fetch_from(3, myid) == 3);
    });
    CHECK_THAT(outcome.errors, contains("bad one"));
}

TEST_CASE("thread_local objects belong to the thread that runs tasks, and to each other thread") {
    in_session(1, [] {
        DEMAND(local.value == 1);
        local.value = 2;
        DEMAND(fetch_from(2, [] { return local.value++; }) == 1);
        DEMAND(fetch_from(2, [] { return local.value; }) == 2);
        DEMAND(fetch_from(2, [] {
                   std::thread([] { local.value += 5; }).join();
                   return local.value + 10 * locals_destroyed;
               }) == 12);
        // A task that set its wait aside goes on in the same thread.
        DEMAND(fetch_from(2, [] {
                   const auto before = std::this_thread::get_id();
                   fetch(spawn_at(2, [] { local.value = 100; }));
                   return before == std::this_thread::get_id() ? local.value : 0;
               }) == 100);
    });
}

TEST_CASE("threads that were there before the session go on, whatever workers do") {
    const int status = run_in_child([] {
        alarm(case_seconds);
        std::atomic<bool> stop{false};
        std::atomic<long> turns{0};
        std::thread busy([&] {
            while (!stop)
                ++turns, delete new int(1);
        });
        {
            SessionOptions options;
            options.workers = 2;
            options.start = Start::fork;
            Session session(options);
            for (int i = 0; i < 20; ++i)
                DEMAND(fetch([i] { return std::vector<int>(100, i)[99]; }) == i);
        }
        stop = true;
        busy.join();
        DEMAND(turns > 0);
    });
    CHECK(left_well(status));
}
