// Processes of a session that die or stop: workers, the launcher, the master.

#include <atomic>
#include <cstdlib>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// Runs until it is killed; says that it runs.
struct NeverEnds {
    Flag started;
    int operator()() const {
        started.raise();
        for (;;)
            pause();
    }
};

int answer() { return 42; }
void raise_anything() { throw 1; }

} // namespace

TEST_CASE("a worker killed while idle is gone, and the others go on") {
    const Outcome outcome = in_session(2, [] {
        for (int i = 0; i < 100; ++i)
            fetch_from(2, myid);
        const std::uint64_t done = counters().tasks_done;
        kill_worker(2);
        DEMAND(workers() == std::vector<int>{3});
        until([done] { return counters().tasks_done >= done; }); // what it had done still counts
        const WorkerInfo info = worker_info(2);
        DEMAND(info.state == WorkerState::exited && has(info.exit_reason, "SIGKILL"));
        DEMAND(has(thrown_by<ProcessExitedException>([] { spawn_at(2, answer); }), "SIGKILL"));
        for (int i = 0; i < 20; ++i)
            DEMAND(fetch(answer) == 42);
        DEMAND(addprocs(1) == std::vector<int>{4});
        DEMAND(fetch_from(4, myid) == 4);
    });
    CHECK_THAT(outcome.errors, contains("worker 2"));
    CHECK_THAT(outcome.errors, contains("SIGKILL"));
}

TEST_CASE("a task whose worker is killed fails with who, how and which task") {
    in_session(2, [] {
        const NeverEnds task;
        const auto future = spawn_at(2, task);
        task.started.await();
        kill(worker_info(2).os_pid, SIGKILL);
        const std::string text = thrown_by<ProcessExitedException>([&] { fetch(future); });
        DEMAND(has(text, "SIGKILL"));
        DEMAND(has(text, "NeverEnds"));
        DEMAND(has(text, "2"));
        // Every fetch throws it, and it is known who died.
        try {
            future.get();
            DEMAND(false);
        } catch (const ProcessExitedException& error) {
            DEMAND(error.pid() == 2);
        }
    });
}

TEST_CASE("the master's wait ends when the worker that it waits for is killed") {
    in_session(1, [] {
        const NeverEnds task;
        const auto future = spawn_at(2, task);
        const int worker = worker_info(2).os_pid;
        std::thread killer([&] {
            task.started.await();
            kill(worker, SIGKILL);
        });
        DEMAND(has(thrown_by<ProcessExitedException>([&] { fetch(future); }), "SIGKILL"));
        killer.join();
    });
}

TEST_CASE("tasks that wait for a worker which is killed fail, those for anyone do not") {
    in_session(1, [] {
        const NeverEnds task;
        const auto running = spawn_at(2, task);
        task.started.await();
        std::vector<Future<int>> bound, free;
        for (int i = 0; i < 100; ++i) {
            bound.push_back(spawn_at(2, answer));
            free.push_back(spawn([i] { return i; }));
        }
        kill_worker(2);
        for (const auto& future : bound)
            DEMAND(has(thrown_by<ProcessExitedException>([&] { fetch(future); }), "SIGKILL"));
        DEMAND(workers() == std::vector<int>{1});
        for (int i = 0; i < 100; ++i)
            DEMAND(fetch(free[static_cast<std::size_t>(i)]) == i);
        thrown_by<ProcessExitedException>([&] { fetch(running); });
    });
}

TEST_CASE("a sender that waits for room in a worker's inbox is let go when the worker is killed") {
    in_session(1, [] {
        const NeverEnds task;
        const auto running = spawn_at(2, task);
        task.started.await();
        const int worker = worker_info(2).os_pid;
        // More than an inbox holds; the launcher kills once the sender cannot get on by itself.
        std::atomic<std::uint64_t> sent{0};
        std::thread killer([&] {
            until([&] { return sent.load() >= 4096; });
            kill(worker, SIGKILL);
        });
        std::vector<Future<int>> futures;
        bool refused = false;
        for (int i = 0; i < 6000 && !refused; ++i)
            try {
                futures.push_back(spawn_at(2, answer));
                sent = futures.size();
            } catch (const ProcessExitedException&) {
                refused = true;
            }
        killer.join();
        for (const auto& future : futures)
            thrown_by<ProcessExitedException>([&] { fetch(future); });
        thrown_by<ProcessExitedException>([&] { fetch(running); });
    });
}

TEST_CASE("a worker may end itself, and its task says how") {
    const auto end_of = [](auto task) {
        std::string text;
        const Outcome outcome = in_session(1, [&] {
            std::fputs(thrown_by<ProcessExitedException>([&] { fetch_from(2, task); }).c_str(),
                       stdout);
            DEMAND(workers() == std::vector<int>{1});
        });
        return outcome.output;
    };
    CHECK_THAT(end_of([] { std::exit(3); }), contains("exit code 3"));
    CHECK_THAT(end_of([] { _exit(0); }), contains("exit code 0"));
    CHECK_THAT(end_of([] { std::abort(); }), contains("SIGABRT"));
    CHECK_THAT(end_of([] { raise(SIGSEGV); }), contains("SIGSEGV"));
    CHECK_THAT(end_of([]() noexcept { raise_anything(); }), contains("SIGABRT"));
}

TEST_CASE("a worker that is stopped is not taken for dead") {
    in_session(2, [] {
        const int stopped = worker_info(2).os_pid;
        kill(stopped, SIGSTOP);
        until([] { return worker_info(2).state == WorkerState::stopped; });
        const auto future = spawn_at(2, myid);
        for (int i = 0; i < 100; ++i)
            DEMAND(fetch_from(3, myid) == 3);
        std::vector<Future<int>> anywhere;
        for (int i = 0; i < 100; ++i)
            anywhere.push_back(spawn(myid));
        for (const auto& one : anywhere)
            DEMAND(fetch(one) == 3);
        DEMAND(!future.isready() && nprocs() == 3);
        kill(stopped, SIGCONT);
        DEMAND(fetch(future) == 2);
        DEMAND(worker_info(2).state == WorkerState::running);
    });
}

TEST_CASE("what a killed worker had spawned for anyone is run by others") {
    in_session(2, [] {
        const Flag done;
        const Flag spawned;
        const SharedArray<int> ran(200);
        const auto spawner = spawn_at(2, [done, spawned, ran] {
            for (int i = 0; i < 200; ++i)
                remote_do([ran, i] { ran[static_cast<std::size_t>(i)] = 1; }, 3);
            spawned.raise();
            for (;;)
                pause();
        });
        spawned.await();
        kill_worker(2);
        fetch_from(3, [] {});
        for (const int one : ran)
            DEMAND(one == 1);
        thrown_by<ProcessExitedException>([&] { fetch(spawner); });
    });
}

TEST_CASE("a loop and a map over a worker that is killed fail, and the next ones run") {
    in_session(2, [] {
        const NeverEnds forever;
        const auto body = [forever](long i) {
            if (i == 0)
                forever();
            return i;
        };
        const int first = worker_info(2).os_pid;
        std::thread killer([&] {
            forever.started.await();
            kill(first, SIGKILL);
        });
        thrown_by<ProcessExitedException>([&] { distributed(std::plus<>{}, range(0, 10), body); });
        killer.join();
        DEMAND(distributed(std::plus<>{}, range(0, 10), [](long i) { return i; }) == 45);

        addprocs(1);
        const NeverEnds again;
        const int pid3 = worker_info(3).os_pid, pid4 = worker_info(4).os_pid;
        std::thread second([&] {
            again.started.await();
            kill(pid3, SIGKILL);
            kill(pid4, SIGKILL);
        });
        const std::vector<int> elements{0, 1, 2, 3};
        thrown_by<ProcessExitedException>(
            [&] { pmap([again](int i) { return i == 0 ? again() : i; }, elements); });
        second.join();
        until([] { return nprocs() == 1; });
        DEMAND(pmap([](int i) { return 2 * i; }, elements) == std::vector<int>{0, 2, 4, 6});
    });
}

TEST_CASE("when the launcher is killed the workers go and the master's wait throws") {
    in_session(2, [] {
        const NeverEnds task;
        const auto future = spawn_at(2, task);
        task.started.await();
        const int launcher = fetch_from(3, [] { return static_cast<int>(getppid()); });
        kill(launcher, SIGKILL);
        DEMAND(has(thrown_by<std::runtime_error>([&] { fetch(future); }), "launcher"));
        DEMAND(has(thrown_by<std::runtime_error>([&] { addprocs(1); }), "launcher"));
    });
}

TEST_CASE("when the master is killed nothing of the session is left") {
    SessionOptions options;
    options.workers = 2;
    SessionCase session(options, [] {
        const NeverEnds task;
        const auto future = spawn_at(2, task);
        task.started.await();
        std::fputs("running\n", stderr);
        fetch(future);
    });
    until([&] { return has(session.errors(), "running"); });
    kill(session.process(), SIGKILL);
    CHECK(session.join().killed_by(SIGKILL));
}

TEST_CASE("a session that ends while its workers compute ends them") {
    in_session(2, [] {
        const NeverEnds task;
        remote_do(task, 2);
        task.started.await();
    });
}

TEST_CASE("a session may be started again after the launcher was killed") {
    const Outcome outcome = outcome_of(0, [] {});
    REQUIRE(outcome.exited_with(0));
    const int status = run_in_child([] {
        alarm(case_seconds);
        for (int round = 0; round < 3; ++round) {
            Session session;
            addprocs(1);
            DEMAND(fetch_from(2, myid) == 2);
            if (round == 1)
                kill(fetch_from(2, [] { return static_cast<int>(getppid()); }), SIGKILL);
        }
    });
    CHECK(left_well(status));
}
