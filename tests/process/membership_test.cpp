// Who is there: starting and ending workers, and what is known of them.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using namespace std::chrono_literals;
using Ids = std::vector<WorkerId>;

TEST_CASE("alone, the master is the only worker and everything runs there") {
    in_session(0, [] {
        DEMAND(myid() == 1 && nprocs() == 1 && nworkers() == 1);
        DEMAND(procs() == Ids{1} && workers() == Ids{1});
        DEMAND(fetch(spawn(myid)) == 1);
        DEMAND(fetch_from(1, myid) == 1);
        DEMAND(fetch(spawn_at(1, myid)) == 1);
        DEMAND(fetch(myid) == 1);
        int calls = 0;
        SharedArray<int> count(1);
        everywhere([count] { ++count[0]; });
        DEMAND(count[0] == 1);
        DEMAND(sync([&] {
                   for (int i = 0; i < 10; ++i)
                       spawn([count] { ++count[0]; });
                   return ++calls;
               }) == 1);
        DEMAND(count[0] == 11);
        DEMAND(distributed(std::plus<>{}, range(0, 100), [](long i) { return i; }) == 4950);
        sync([&] { distributed(range(0, 100), [count](long) { ++count[0]; }); });
        DEMAND(count[0] == 111);
        DEMAND(pmap([](int i) { return i * i; }, std::vector<int>{1, 2, 3}) ==
               (std::vector<int>{1, 4, 9}));
        DEMAND(fetch([] { return fetch([] { return fetch(myid); }); }) == 1);
        thrown_by<RemoteException>([] {
            try {
                fetch([] { throw std::out_of_range("local"); });
            } catch (const std::out_of_range&) {
                throw;
            }
        });
    });
}

TEST_CASE("workers come and go, and their numbers are never used again") {
    in_session(0, [] {
        DEMAND((addprocs(2) == Ids{2, 3}));
        DEMAND((procs() == Ids{1, 2, 3} && workers() == Ids{2, 3} && nprocs() == 3 &&
                nworkers() == 2));
        for (const int id : workers())
            DEMAND(fetch_from(id, myid) == id);
        rmprocs(2).wait();
        DEMAND((procs() == Ids{1, 3}));
        DEMAND(addprocs(1) == Ids{4});
        rmprocs(Ids{3, 4, 3, 99, 2});
        DEMAND(workers() == Ids{1} && nprocs() == 1);
        DEMAND(addprocs(0).empty());
        DEMAND((addprocs(2) == Ids{5, 6}));
        kill_worker(5);
        kill_worker(6);
        DEMAND(addprocs(1) == Ids{7});
        DEMAND(fetch_from(7, [] { return procs(); }) == (Ids{1, 7}));
        DEMAND(fetch_from(7, nworkers) == 1);
    });
}

TEST_CASE("many workers") {
    in_session(0, [] {
        const Ids ids = addprocs(40);
        DEMAND(ids.size() == 40 && ids.front() == 2 && ids.back() == 41);
        SharedArray<int> seen(42);
        everywhere(ids, [seen] { seen[static_cast<std::size_t>(myid())] = 1; });
        DEMAND(std::count(seen.begin(), seen.end(), 1) == 40);
        rmprocs(ids);
        DEMAND(nprocs() == 1);
    });
}

TEST_CASE("all the workers that a session has room for, and not one more") {
    in_session(0, [] {
        const Ids ids = addprocs(static_cast<int>(shm::max_workers));
        DEMAND(ids.size() == shm::max_workers);
        DEMAND(fetch_from(ids.back(), myid) == ids.back());
        DEMAND(has(thrown_by<std::invalid_argument>([] { addprocs(1); }), "addprocs(1)"));
        kill_worker(100);
        DEMAND(addprocs(1).size() == 1);
    });
}

TEST_CASE("what is known of a worker, alive and dead") {
    in_session(2, [] {
        const WorkerInfo alive = worker_info(2);
        DEMAND(alive.id == 2 && alive.state == WorkerState::running && !alive.host.empty());
        DEMAND(alive.os_pid == fetch_from(2, [] { return static_cast<int>(getpid()); }));
        DEMAND(alive.exit_reason.empty());
        for (int i = 0; i < 5; ++i)
            fetch_from(2, [] {});
        until([] { return worker_info(2).tasks_done >= 6; });
        rmprocs(2);
        const WorkerInfo dead = worker_info(2);
        DEMAND(dead.state == WorkerState::exited && dead.os_pid == alive.os_pid &&
               dead.tasks_done >= 6);
        DEMAND(has(dead.exit_reason, "rmprocs"));
        thrown_by<ProcessExitedException>([] { fetch_from(3, [] { _exit(3); }); });
        until([] { return has_ended(3); });
        DEMAND(has(worker_info(3).exit_reason, "exit code 3"));
        DEMAND(worker_info(1).os_pid == getpid());
        for (const int id : {0, -1, 4, 1 << 20})
            thrown_by<std::invalid_argument>([id] { worker_info(id); });
    });
}

TEST_CASE("a busy worker is removed when its task has ended, or is waited for no longer") {
    in_session(1, [] {
        const Flag started, go;
        const auto busy = spawn_at(2, [started, go] {
            started.raise();
            go.await();
            return 5;
        });
        started.await();
        DEMAND(has(thrown_by<std::runtime_error>([] { rmprocs(2, {.waitfor = 1ms}); }), "2"));
        const Future<void> gone = rmprocs(2, {.waitfor = 0ms});
        DEMAND(!gone.wait_for(1ms));
        go.raise();
        gone.wait();
        DEMAND(fetch(busy) == 5);
        DEMAND(nprocs() == 1);
    });
}

TEST_CASE("a worker that was asked to leave is not gone before it has gone") {
    in_session(1, [] {
        for (int round = 0; round < 20; ++round) {
            const int id = workers()[0];
            const int pid = worker_info(id).os_pid;
            const Future<void> gone = rmprocs(id, {.waitfor = 0ms});
            try { // runs, or says that the worker has ended; it is never unknown
                DEMAND(fetch_from(id, myid) == id);
            } catch (const ProcessExitedException&) {
            }
            worker_info(id);
            rmprocs(id);
            DEMAND(kill(pid, 0) != 0);
            gone.wait();
            addprocs(1);
        }
    });
}

TEST_CASE("new workers have the directory and the environment that they are given") {
    in_session(0, [] {
        setenv("DSHM_TEST_NOW", "now", 1);
        std::filesystem::current_path("/");
        AddprocsOptions options;
        options.env = {{"DSHM_TEST_MORE", "more"}, {"OMP_NUM_THREADS", "3"}};
        options.dir = "/tmp";
        addprocs(1);
        addprocs(1, options);
        const auto variable = [](int id, const std::string& name) {
            return fetch_from(
                id,
                [](const std::string& wanted) {
                    const char* value = std::getenv(wanted.c_str());
                    return std::string(value == nullptr ? "" : value);
                },
                name);
        };
        const auto directory = [] { return std::filesystem::current_path().string(); };
        DEMAND(variable(2, "DSHM_TEST_NOW") == "now" && variable(2, "DSHM_TEST_MORE").empty());
        DEMAND(variable(3, "DSHM_TEST_NOW") == "now" && variable(3, "DSHM_TEST_MORE") == "more");
        DEMAND(variable(2, "OMP_NUM_THREADS") == "1" && variable(3, "OMP_NUM_THREADS") == "3");
        DEMAND(fetch_from(2, directory) == "/" && fetch_from(3, directory) == "/tmp");
        DEMAND(fetch_from(2, [] { return std::cin.get() == EOF; }));
    });
}

TEST_CASE("bad numbers, bad options and calls from a worker are refused, and nothing is started") {
    in_session(1, [] {
        DEMAND(has(thrown_by<std::invalid_argument>([] { addprocs(-1); }), "-1"));
        thrown_by<std::invalid_argument>([] { addprocs(255); });
        thrown_by<std::invalid_argument>([] { addprocs(1, {.dir = "/nowhere"}); });
        thrown_by<std::invalid_argument>([] { addprocs(1, {.env = {{"", "x"}}}); });
        thrown_by<std::invalid_argument>([] { addprocs(1, {.timeout = -1ms}); });
        DEMAND(has(thrown_by<std::logic_error>([] { fetch_from(2, [] { addprocs(1); }); }),
                   "process 1"));
        DEMAND(has(thrown_by<std::logic_error>([] { fetch_from(2, [] { rmprocs(2); }); }),
                   "process 1"));
        DEMAND(workers() == Ids{2});
    });
}

TEST_CASE("calls on processes that never were, or were removed, say so") {
    in_session(2, [] {
        for (const int id : {0, -1, 7, 1'000'000}) {
            DEMAND(has(thrown_by<std::invalid_argument>([id] { spawn_at(id, [] {}); }),
                       std::to_string(id)));
            thrown_by<std::invalid_argument>([id] { fetch_from(id, [] {}); });
            thrown_by<std::invalid_argument>([id] { remote_do([] {}, id); });
        }
        rmprocs(2);
        DEMAND(has(thrown_by<ProcessExitedException>([] { spawn_at(2, [] {}); }), "rmprocs"));
        thrown_by<ProcessExitedException>(
            [] { fetch_from(3, [] { return fetch_from(2, myid); }); });
    });
}

TEST_CASE("there is one session at a time, and a program says where it is missing") {
    in_session(1, [] {
        DEMAND(has(thrown_by<std::logic_error>([] { Session second; }), "Session"));
        DEMAND(has(thrown_by<std::logic_error>([] { fetch_from(2, [] { Session inner; }); }),
                   "Session"));
        DEMAND(fetch_from(2, myid) == 2);
    });
    for (const auto& text : {thrown_by<std::logic_error>([] { myid(); }),
                             thrown_by<std::logic_error>([] { addprocs(1); }),
                             thrown_by<std::logic_error>([] { spawn([] {}); }),
                             thrown_by<std::logic_error>([] { SharedArray<int>(3); }),
                             thrown_by<std::logic_error>([] { sync([] {}); }),
                             thrown_by<std::logic_error>([] { counters(); })})
        CHECK_THAT(text, contains("Session session("));
}

TEST_CASE("a child that the program forks has no part in the session") {
    in_session(1, [] {
        const pid_t child = fork();
        if (child == 0) {
            try {
                fetch_from(2, [] {});
            } catch (const std::logic_error&) {
                _exit(7);
            }
            _exit(1);
        }
        const int status = wait_for(child);
        DEMAND(WIFEXITED(status) && WEXITSTATUS(status) == 7);
        DEMAND(fetch_from(2, myid) == 2);
        // A worker's child neither.
        DEMAND(fetch_from(2, [] {
                   const pid_t grandchild = fork();
                   if (grandchild == 0)
                       _exit(9);
                   return WEXITSTATUS(wait_for(grandchild));
               }) == 9);
        DEMAND(fetch_from(2, myid) == 2);
    });
}

TEST_CASE("bad options of a session are refused") {
    const auto refused = [](SessionOptions options) {
        return run_in_child(
            [&] { thrown_by<std::invalid_argument>([&] { Session session(options); }); });
    };
    CHECK(left_well(refused({.workers = -1})));
    CHECK(left_well(refused({.workers = 500})));
    CHECK(left_well(refused({.name = "a/b"})));
    CHECK(left_well(refused({.name = std::string(100, 'x')})));
    CHECK(left_well(refused({.capacity = 1})));
    for (const char* variable :
         {"DSHM_WORKERS", "DSHM_CAPACITY", "DSHM_TAG_OUTPUT", "DSHM_START", "DSHM_AFFINITY"}) {
        INFO(variable);
        CHECK(left_well(run_in_child([&] {
            setenv(variable, "nonsense", 1);
            DEMAND(has(thrown_by<std::invalid_argument>([] { Session session; }), "nonsense"));
        })));
    }
}
