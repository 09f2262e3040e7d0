// What a session does when a worker dies: goes on without it, replaces it, or stops.

#include <numeric>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

SessionOptions with(OnWorkerDeath choice, int workers) {
    SessionOptions options;
    options.workers = workers;
    options.on_worker_death = choice;
    return options;
}

// Runs `body` in a session that replaces its workers; it must end well.
template <class Body>
Outcome restarting(int workers, Body&& body) {
    Outcome outcome = outcome_of(with(OnWorkerDeath::restart, workers), body);
    INFO("standard error:\n" << outcome.errors);
    REQUIRE(outcome.exited_with(0));
    return outcome;
}

// How often something has been begun, seen by all processes.
class Count {
public:
    Count() : word_(1) {}
    int add() const { return std::atomic_ref(word_[0]).fetch_add(1) + 1; }
    int value() const { return std::atomic_ref(word_[0]).load(); }

private:
    SharedArray<int> word_;
};

void die() { raise(SIGKILL); }

struct EndsItsWorker {
    Count begun;
    int operator()() const {
        begun.add();
        die();
        return 0;
    }
};

// Until the replacements of those that died have come: workers() knows only who is there.
void await_workers(int count) {
    until([count] { return static_cast<int>(workers().size()) == count && workers()[0] != 1; });
}

std::vector<int> first_of(int count) {
    await_workers(count);
    return {workers()[0]};
}

} // namespace

TEST_CASE("a worker that is killed is replaced, and says by whom") {
    const Outcome outcome = restarting(2, [] {
        kill_worker(2);
        await_workers(2);
        DEMAND(workers() == std::vector<int>{3, 4});
        DEMAND(worker_info(2).replaced_by == 4);
        DEMAND(fetch_from(4, myid) == 4);
        DEMAND(has(thrown_by<ProcessExitedException>([] { spawn_at(2, myid); }), "SIGKILL"));
    });
    CHECK_THAT(outcome.errors, contains("worker 4"));
    CHECK_THAT(outcome.errors, contains("started in its place"));
}

TEST_CASE(
    "a task whose worker is killed is begun anew, with the same arguments and random numbers") {
    restarting(2, [] {
        const Count begun;
        const auto task = [begun](const std::vector<int>& numbers, const std::string& text) {
            const std::uint64_t drawn = task_rng()();
            if (begun.add() == 1)
                die();
            return std::pair(std::accumulate(numbers.begin(), numbers.end(), 0) +
                                 static_cast<int>(text.size()),
                             drawn);
        };
        const std::vector<int> numbers(1000, 3);
        std::vector<std::uint64_t> drawn;
        for (const bool bound : {false, true}) {
            const int before = begun.value();
            const auto future = bound ? spawn_at(workers().back(), task, numbers, "four")
                                      : spawn(task, numbers, "four");
            const auto [sum, number] = fetch(future);
            DEMAND(sum == 3004);
            DEMAND(begun.value() == before + (bound ? 1 : 2));
            drawn.push_back(number);
        }
        DEMAND(drawn[0] != drawn[1]);
    });
}

TEST_CASE("what was sent to a killed worker alone is run by the one in its place, in order") {
    restarting(1, [] {
        const Flag started;
        const Count begun;
        const auto first = spawn_at(2, [started, begun] {
            const int time = begun.add();
            started.raise();
            while (time == 1)
                pause();
            return myid();
        });
        started.await();
        std::vector<Future<int>> waiting;
        for (int i = 0; i < 500; ++i)
            waiting.push_back(spawn_at(2, [i] { return i; }));
        kill(worker_info(2).os_pid, SIGKILL);
        DEMAND(fetch(first) == 3);
        for (int i = 0; i < 500; ++i)
            DEMAND(fetch(waiting[static_cast<std::size_t>(i)]) == i);
    });
}

TEST_CASE("a task that ends every worker is given up, and the session has its workers") {
    restarting(2, [] {
        for (const bool bound : {false, true}) {
            const EndsItsWorker task;
            const auto future = bound ? spawn_at(workers().front(), task) : spawn(task);
            const std::string text = thrown_by<ProcessExitedException>([&] { fetch(future); });
            DEMAND(has(text, "SIGKILL") && has(text, "EndsItsWorker") && has(text, "3 workers"));
            DEMAND(task.begun.value() == 3);
            await_workers(2);
        }
        DEMAND(fetch([] { return 5; }) == 5);
    });
}

TEST_CASE("the master never runs what has ended its only worker") {
    restarting(1, [] {
        for (int round = 0; round < 10; ++round) {
            const EndsItsWorker task;
            const auto future = spawn(task);
            thrown_by<ProcessExitedException>([&] { fetch(future); });
            DEMAND(task.begun.value() == 3);
        }
        await_workers(1);
        // Nor through the default pool, while somebody comes.
        for (int round = 0; round < 5; ++round) {
            const EndsItsWorker task;
            thrown_by<ProcessExitedException>(
                [&] { remotecall_fetch(task, default_worker_pool()); });
            DEMAND(task.begun.value() == 3);
        }
    });
}

TEST_CASE("workers that do nothing but die are replaced for a while and not for ever") {
    const Outcome outcome = restarting(1, [] {
        std::vector<Future<int>> futures;
        for (int i = 0; i < 60; ++i)
            futures.push_back(spawn(EndsItsWorker()));
        for (const auto& future : futures)
            thrown_by<ProcessExitedException>([&] { fetch(future); });
        until([] { return workers() == std::vector<int>{1}; });
        DEMAND(addprocs(1).size() == 1);
        DEMAND(fetch_from(workers()[0], [] { return 7; }) == 7);
    });
    CHECK_THAT(outcome.errors, contains("is not replaced"));
}

TEST_CASE("a worker that cannot start again is tried a few times") {
    const Outcome outcome = restarting(1, [] {
        const Count made;
        everywhere(replay, [made] {
            if (myid() > 2) {
                made.add();
                die();
            }
        });
        kill_worker(2);
        until([&] { return made.value() == 5; });
        until([] { return has_ended(7); });
        DEMAND(workers() == std::vector<int>{1});
    });
    CHECK_THAT(outcome.errors, contains("is not replaced"));
    CHECK_THAT(outcome.errors, contains("before they took tasks"));
}

TEST_CASE("the calls of everywhere with replay are made before anything else") {
    restarting(1, [] {
        static int value = 0;
        everywhere(replay, [] { value = 41; });
        const Count begun;
        const auto task = [begun] {
            if (begun.add() == 1)
                die();
            return ++value;
        };
        DEMAND(fetch(spawn_at(2, task)) == 42);
    });
}

TEST_CASE("loops, maps and pools go through although a worker dies in them") {
    restarting(2, [] {
        const auto dies_once = [] {
            return [begun = Count()](long i) {
                if (i == 7 && begun.add() == 1)
                    die();
                return i;
            };
        };
        const auto sum = [](auto body, auto... keywords) {
            return distributed(std::plus<>{}, range(0, 100), body, keywords...);
        };
        DEMAND(sum(dies_once()) == 4950);
        DEMAND(sum(dies_once(), schedule(Schedule::dynamic)) == 4950);
        DEMAND(sum(dies_once(), schedule(Schedule::guided), chunk(3)) == 4950);
        DEMAND(sum(dies_once(), on(first_of(2)), chunk(5)) == 4950);
        std::vector<long> expected(100);
        std::iota(expected.begin(), expected.end(), 0L);
        DEMAND(pmap(dies_once(), range(0, 100)) == expected);
        DEMAND(pmap(dies_once(), range(0, 100), batch_size(20)) == expected);
        DEMAND(pmap(dies_once(), range(0, 100), on(first_of(2))) == expected);
        await_workers(2);
        WorkerPool pool(workers());
        for (int round = 0; round < 6; ++round)
            DEMAND(fetch(remotecall(dies_once(), pool, 7L)) == 7);
        await_workers(2);
        until([&] { return pool.workers().size() == 2; });
        DEMAND(pool.workers() == workers());
        DEMAND(default_worker_pool().workers() == workers());
    });
}

TEST_CASE("a loop or map whose element ends every worker fails") {
    restarting(2, [] {
        const auto body = [](long i) {
            if (i == 7)
                die();
            return i;
        };
        const auto fails = [](auto call) { thrown_by<ProcessExitedException>(call); };
        fails([&] { distributed(std::plus<>{}, range(0, 20), body); });
        fails([&] { distributed(std::plus<>{}, range(0, 20), body, chunk(2)); });
        fails([&] { pmap(body, range(0, 20)); });
        const auto values =
            pmap(body, range(0, 20), on_error([](const std::exception&) { return -1L; }));
        DEMAND(values[7] == -1 && values[6] == 6);
        await_workers(2);
    });
}

TEST_CASE("a cancelled task is not begun anew") {
    restarting(1, [] {
        const Flag started;
        const Count begun;
        const auto future = spawn([started, begun] {
            begun.add();
            started.raise();
            for (;;)
                pause();
        });
        started.await();
        future.cancel();
        kill(worker_info(2).os_pid, SIGKILL);
        thrown_by<ProcessExitedException>([&] { fetch(future); });
        DEMAND(begun.value() == 1);
    });
}

TEST_CASE("workers that are removed are not replaced") {
    const Outcome outcome = restarting(2, [] {
        rmprocs(2);
        DEMAND(workers() == std::vector<int>{3});
        rmprocs(3);
        DEMAND(workers() == std::vector<int>{1});
    });
    CHECK(!has(outcome.errors, "in its place"));
}

TEST_CASE("the master works alone when the one in the place of a dead worker is removed") {
    restarting(1, [] {
        kill_worker(2);
        await_workers(1);
        rmprocs(workers()[0]);
        DEMAND(fetch(myid) == 1);
    });
}

TEST_CASE("a session that ends while a worker is replaced ends") {
    for (int round = 0; round < 10; ++round)
        restarting(2, [] {
            kill(worker_info(2).os_pid, SIGKILL);
            kill(worker_info(3).os_pid, SIGSEGV);
        });
}

TEST_CASE("replaced workers have their environment, directory and way of starting") {
    restarting(0, [] {
        AddprocsOptions options;
        options.env = {{"DSHM_TEST_COLOUR", "blue"}};
        options.dir = "/";
        addprocs(1, options);
        kill_worker(2);
        await_workers(1);
        DEMAND(fetch_from(3, [] { return std::string(std::getenv("DSHM_TEST_COLOUR")); }) ==
               "blue");
        DEMAND(fetch_from(3, [] { return std::filesystem::current_path().string(); }) == "/");
    });
}

TEST_CASE("a session may be told to stop at the first death") {
    const Outcome outcome = outcome_of(with(OnWorkerDeath::stop, 3), [] {
        const Flag started;
        const auto mine = spawn_at(2, [started] {
            started.raise();
            for (;;)
                pause();
        });
        const auto other = spawn_at(3, [] {
            for (;;)
                pause();
        });
        std::vector<Future<int>> free;
        for (int i = 0; i < 50; ++i)
            free.push_back(spawn_at(3, [] { return 1; }));
        started.await();
        kill(worker_info(2).os_pid, SIGKILL);
        DEMAND(has(thrown_by<ProcessExitedException>([&] { fetch(mine); }), "SIGKILL"));
        const std::string text = thrown_by<std::runtime_error>([&] { fetch(other); });
        DEMAND(has(text, "worker 2") && has(text, "SIGKILL") && has(text, "stop"));
        DEMAND(has(thrown_by<std::runtime_error>([] { addprocs(1); }), "worker 2"));
    });
    INFO(outcome.errors);
    CHECK(outcome.exited_with(0));
}

TEST_CASE("what was for anyone is not run by the master of a session that was stopped") {
    const Outcome outcome = outcome_of(with(OnWorkerDeath::stop, 1), [] {
        const auto ender = spawn([] { die(); });
        std::vector<Future<int>> rest;
        for (int i = 0; i < 20; ++i)
            rest.push_back(spawn(myid));
        thrown_by<ProcessExitedException>([&] { fetch(ender); });
        for (const auto& future : rest)
            thrown_by<std::runtime_error>([&] { fetch(future); });
    });
    INFO(outcome.errors);
    CHECK(outcome.exited_with(0));
}

TEST_CASE("the choice is an environment variable too, and a wrong one is refused") {
    setenv("DSHM_ON_WORKER_DEATH", "restart", 1);
    in_session(1, [] {
        kill_worker(2);
        await_workers(1);
        DEMAND(workers() == std::vector<int>{3});
    });
    setenv("DSHM_ON_WORKER_DEATH", "resurrect", 1);
    const Outcome outcome = outcome_of(1, [] {});
    unsetenv("DSHM_ON_WORKER_DEATH");
    CHECK(!outcome.exited_with(0));
    CHECK_THAT(outcome.errors, contains("resurrect"));
    CHECK_THAT(outcome.errors, contains("ignore, restart or stop"));
}
