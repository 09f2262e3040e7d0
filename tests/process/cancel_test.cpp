// Stopping what runs, waiting for several things, trying again.

#include <chrono>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;

TEST_CASE("a cancelled task that has not begun never runs") {
    in_session(1, [] {
        const Flag go, ran;
        const auto first = spawn_at(2, [go] { go.await(); });
        const auto second = spawn_at(2, [ran] { ran.raise(); });
        DEMAND(second.cancel());
        const std::string text = thrown_by<InterruptException>([&] { second.wait(); });
        DEMAND(has(text, "cancelled"));
        go.raise();
        first.wait();
        fetch_from(2, [] {});
        DEMAND(!ran.raised());
        DEMAND(!first.cancel() && !second.cancel());
    });
}

TEST_CASE("a running task sees that it was cancelled, and may return a value all the same") {
    in_session(1, [] {
        const Flag begun;
        const auto task = spawn([begun] {
            begun.raise();
            until([] { return stop_requested(); });
            return 3;
        });
        begun.await();
        DEMAND(task.cancel());
        DEMAND(fetch(task) == 3);
        DEMAND(!fetch([] { return stop_requested(); }));
        DEMAND(!stop_requested());
    });
}

TEST_CASE("a cancelled task that waits throws InterruptException") {
    in_session(3, [] {
        const Flag begun;
        const Future<int> never;
        for (const auto& task : {spawn_at(2,
                                          [begun, never] {
                                              begun.raise();
                                              return never.get();
                                          }),
                                 spawn_at(3,
                                          [begun, never] {
                                              begun.await();
                                              wait_any(never);
                                              return 0;
                                          }),
                                 spawn_at(4, [begun] {
                                     begun.await();
                                     sleep_for(1h);
                                     return 0;
                                 })}) {
            begun.await();
            task.cancel();
            thrown_by<InterruptException>([&] { task.wait(); });
        }
        never.cancel();
        thrown_by<InterruptException>([&] { never.wait(); });
        thrown_by<std::logic_error>([&] { never.put(1); });
    });
}

TEST_CASE("interrupt stops what runs, and neither what is queued nor idle workers") {
    in_session(2, [] {
        const Flag begun;
        const Future<int> never;
        const auto running = spawn_at(2, [begun, never] {
            begun.raise();
            never.wait();
        });
        begun.await();
        interrupt();
        thrown_by<InterruptException>([&] { running.wait(); });
        DEMAND(fetch_from(2, [] { return myid(); }) == 2);
        DEMAND(fetch_from(3, [] { return stop_requested() ? 0 : myid(); }) == 3);
        interrupt(3);
        DEMAND(fetch_from(3, [] { return stop_requested() ? 0 : myid(); }) == 3);
        thrown_by<std::invalid_argument>([] { interrupt(99); });
        kill_worker(3);
        interrupt(3);
        const auto computing = spawn_at(2, [begun] {
            until([] { return stop_requested(); });
            throw InterruptException();
        });
        until([&] { return worker_info(2).current_task != ""; });
        interrupt({2});
        thrown_by<InterruptException>([&] { computing.wait(); });
    });
}

TEST_CASE("wait_any gives one that has ended, wait_all waits for all and throws all failures") {
    in_session(2, [] {
        const Flag go;
        const auto slow = spawn_at(2, [go] {
            go.await();
            return 1;
        });
        const auto quick = spawn_at(3, [] { return std::string("quick"); });
        DEMAND(wait_any(slow, quick) == 1);
        DEMAND(wait_any(std::vector{slow, fetch([go] { return spawn_at(1, [] { return 2; }); })}) ==
               1);
        go.raise();
        wait_all(slow, quick);
        DEMAND(slow.isready() && quick.isready());
        thrown_by<std::invalid_argument>([] { wait_any(std::vector<Future<int>>{}); });
        std::vector<Future<int>> several;
        for (int i = 0; i < 4; ++i)
            several.push_back(spawn([i] {
                if (i % 2 == 1)
                    throw std::runtime_error("odd " + std::to_string(i));
                return i;
            }));
        try {
            wait_all(several);
            DEMAND(false);
        } catch (const CompositeException& all) {
            DEMAND(all.size() == 2 && has(all.what(), "odd 1"));
        }
        DEMAND(fetch(several[2]) == 2);
        wait_all(std::vector<Future<void>>{});
    });
}

TEST_CASE("timedwait asks at once, then now and then, and gives up in time") {
    in_session(0, [] {
        int asked = 0;
        DEMAND(timedwait([&] { return ++asked == 1; }, 0s));
        DEMAND(timedwait([&] { return ++asked == 4; }, 1h, 1ms));
        DEMAND(!timedwait([] { return false; }, 2ms, 1ms));
        thrown_by<std::invalid_argument>([] { timedwait([] { return true; }, 1s, 10us); });
        thrown_by<std::domain_error>(
            [] { timedwait([]() -> bool { throw std::domain_error("asked"); }, 1s); });
    });
}

TEST_CASE("a sleeping process runs what is sent to it") {
    in_session(1, [] {
        const Flag done;
        const auto asking = spawn_at(2, [done] { fetch_from(1, [done] { done.raise(); }); });
        DEMAND(timedwait([&] { return done.raised(); }, 1h, 1ms));
        asking.wait();
    });
}

TEST_CASE("retry calls again as often as there are delays") {
    int calls = 0;
    const auto failing_twice = [&calls](int value) {
        if (++calls < 3)
            throw std::runtime_error("not yet");
        return value;
    };
    auto careful = retry(failing_twice, {.delays = std::vector<std::chrono::milliseconds>(2, 1ms)});
    CHECK(careful(7) == 7);
    CHECK(calls == 3);
    calls = 0;
    auto impatient = retry(failing_twice, {.delays = ExponentialBackOff{.first_delay = 0.001}});
    CHECK_THROWS_AS(impatient(7), std::runtime_error);
    CHECK(calls == 2);
    calls = 0;
    auto choosy = retry(failing_twice, {.delays = ExponentialBackOff{.n = 5},
                                        .check = [](const std::exception&) { return false; }});
    CHECK_THROWS_AS(choosy(7), std::runtime_error);
    CHECK(calls == 1);
}

TEST_CASE("the delays of a back-off grow up to the largest") {
    const auto delays =
        ExponentialBackOff{.n = 4, .first_delay = 1, .max_delay = 20, .factor = 5, .jitter = 0}
            .delays();
    using Seconds = std::chrono::duration<double>;
    CHECK(delays == std::vector<Seconds>{Seconds(1), Seconds(5), Seconds(20), Seconds(20)});
    for (const auto delay : ExponentialBackOff{.n = 100, .first_delay = 1, .factor = 1}.delays())
        CHECK((delay >= Seconds(1) && delay <= Seconds(1.1)));
    CHECK_THROWS_AS(ExponentialBackOff{.factor = -1}.delays(), std::invalid_argument);
}

TEST_CASE("retry in a task that calls another worker") {
    in_session(2, [] {
        DEMAND(fetch_from(2, [] {
                   int tries = 0;
                   auto asking = retry(
                       [&tries] {
                           ++tries;
                           return fetch_from(
                               3,
                               [](int attempt) {
                                   if (attempt < 3)
                                       throw std::runtime_error("busy");
                                   return attempt;
                               },
                               tries);
                       },
                       {.delays = std::vector<std::chrono::milliseconds>(5, 1ms)});
                   return asking();
               }) == 3);
    });
}
