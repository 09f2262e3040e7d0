// What programs do with signals inside of a session: handlers, timers, masks, stops, in the master and in tasks.

#include <sys/resource.h>
#include <sys/time.h>

#include <cerrno>
#include <csignal>
#include <thread>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

volatile std::sig_atomic_t seen = 0;

// Without SA_RESTART: what may end with EINTR does.
void count_signals(int number) {
    struct sigaction action {};
    action.sa_handler = [](int) { seen = seen + 1; };
    sigaction(number, &action, nullptr);
}

// SIGPROF every millisecond by real time; SIGALRM is the watchdog's.
class Ticking {
public:
    Ticking() {
        count_signals(SIGPROF);
        sigevent event{};
        event.sigev_notify = SIGEV_SIGNAL;
        event.sigev_signo = SIGPROF;
        DEMAND(timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0);
        const itimerspec each{{0, 1'000'000}, {0, 1'000'000}};
        DEMAND(timer_settime(timer_, 0, &each, nullptr) == 0);
    }
    ~Ticking() { timer_delete(timer_); }

private:
    timer_t timer_{};
};

SessionOptions with_workers(int workers) {
    SessionOptions options;
    options.workers = workers;
    return options;
}

int disposition(int number) {
    struct sigaction now {};
    sigaction(number, nullptr, &now);
    return now.sa_handler == SIG_DFL ? 0 : now.sa_handler == SIG_IGN ? 1 : 2;
}

bool blocked(int number) {
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, nullptr, &mask);
    return sigismember(&mask, number) == 1;
}

// Whether the process that runs it has got a signal that it sends itself.
int handle_here(int number) {
    seen = 0;
    count_signals(number);
    raise(number);
    return seen;
}

} // namespace

TEST_CASE("a timer of a millisecond in the master, from before its Session to after its end") {
    const int status = run_in_child([] {
        alarm(case_seconds);
        const Ticking ticking;
        Session session(with_workers(2));
        const RemoteChannel<int> channel(1);
        for (int round = 0; round < 5; ++round) {
            const auto slow = spawn([] {
                usleep(5'000);
                return 5;
            });
            DEMAND(fetch(slow) == 5);
            const auto sender = spawn_at(2, [channel] {
                usleep(3'000);
                channel.put(7);
            });
            DEMAND(channel.take() == 7);
            wait(sender);
            const std::vector<int> ids = addprocs(1);
            DEMAND(fetch_from(ids[0], myid) == ids[0]);
            rmprocs(ids).wait();
            const SharedArray<char> large(std::size_t{8} << 20);
            DEMAND(fetch([large] { return large[100]; }) == 0);
            DEMAND(pmap([](int i) { return usleep(500), i; }, std::vector<int>{1, 2, 3})[2] == 3);
        }
        DEMAND(seen > 10);
    });
    CHECK(left_well(status));
}

TEST_CASE("timers in tasks run through their waits, and output is in order all the same") {
    const Outcome outcome = in_session(2, [] {
        for (const int id : {2, 3})
            fetch_from(id, [] {
                static Ticking ticking;
                static_cast<void>(ticking);
            });
        for (int i = 0; i < 50; ++i) {
            fetch_from(2, [i] {
                std::printf("line %d\n", i);
                usleep(2'000);
                return fetch_from(3, [] { return usleep(1'000); });
            });
            std::printf("result %d\n", i);
            std::fflush(stdout);
        }
        DEMAND(fetch_from(2, [] { return static_cast<int>(seen); }) > 10);
    });
    std::string expected;
    for (int i = 0; i < 50; ++i)
        expected += "      From worker 2:\tline " + std::to_string(i) + "\nresult " +
                    std::to_string(i) + "\n";
    CHECK(outcome.output == expected);
}

TEST_CASE("handlers of the master are its own, those of tasks their worker's") {
    const int status = run_in_child([] {
        alarm(case_seconds);
        for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGHUP, SIGCHLD, SIGPIPE})
            count_signals(number);
        std::signal(SIGUSR2, SIG_IGN);
        sigset_t all;
        sigfillset(&all);
        sigdelset(&all, SIGALRM);
        pthread_sigmask(SIG_SETMASK, &all, nullptr);
        Session session(with_workers(2));
        // Workers begin with defaults and nothing blocked; the master has what it had.
        for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGUSR2, SIGHUP, SIGCHLD, SIGPIPE}) {
            DEMAND(fetch_from(2, disposition, number) == 0);
            DEMAND(!fetch_from(2, blocked, number));
            DEMAND(disposition(number) == (number == SIGUSR2 ? 1 : 2) && blocked(number));
        }
        sigset_t none;
        sigemptyset(&none);
        pthread_sigmask(SIG_SETMASK, &none, nullptr);
        for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGALRM, SIGHUP, SIGPIPE, SIGCHLD}) {
            DEMAND(fetch_from(2, handle_here, number) == 1);
            DEMAND(fetch_from(2, disposition, number) == 2);
            DEMAND(fetch_from(3, disposition, number) == 0);
        }
        DEMAND(handle_here(SIGINT) == 1 && handle_here(SIGTERM) == 1);
        DEMAND(fetch_from(2, myid) == 2);
        seen = 0;
        rmprocs(2).wait(); // no child of the master
        DEMAND(seen == 0);
    });
    CHECK(left_well(status));
}

TEST_CASE("the launcher is not seen to end by a handler of SIGCHLD before the session does") {
    const int status = run_in_child([] {
        alarm(case_seconds);
        struct sigaction action {};
        action.sa_handler = [](int) {
            const int error = errno;
            while (waitpid(-1, nullptr, WNOHANG) > 0)
                seen = seen + 1;
            errno = error;
        };
        sigaction(SIGCHLD, &action, nullptr);
        {
            Session session(with_workers(2));
            kill_worker(2);
            DEMAND(fetch_from(3, myid) == 3 && seen == 0);
            const pid_t own = fork();
            if (own == 0)
                _exit(0);
            until([] { return seen == 1; });
            DEMAND(fetch_from(3, myid) == 3);
        }
        DEMAND(seen <= 2);
        Session again(with_workers(1));
        DEMAND(fetch_from(2, myid) == 2);
    });
    CHECK(left_well(status));
}

TEST_CASE(
    "an interrupt that the master handles interrupts nothing, one that it does not ends all") {
    in_session(2, [] {
        count_signals(SIGINT);
        const Flag started;
        std::thread interrupter([&] {
            started.await();
            kill(getpid(), SIGINT);
        });
        const auto squares = pmap(
            [started](int i) {
                started.raise();
                usleep(1'000);
                return i * i;
            },
            std::vector<int>{1, 2, 3, 4, 5, 6, 7, 8});
        interrupter.join();
        DEMAND(squares.back() == 64 && seen == 1);
    });
    SessionCase session(with_workers(2), [] {
        std::fputs("running\n", stderr);
        pmap([](int) { return pause(); }, std::vector<int>{1, 2, 3, 4});
    });
    until([&] { return has(session.errors(), "running"); });
    kill(session.process(), SIGINT);
    CHECK(session.join().killed_by(SIGINT));
}

TEST_CASE("signals of a terminal do not reach workers, which a signal that is sent to them ends") {
    const Outcome outcome = in_session(5, [] {
        DEMAND(fetch_from(2, [] { return static_cast<int>(getpgrp()); }) != getpgrp());
        const auto reason = [](int id, int number) {
            return thrown_by<ProcessExitedException>(
                [&] { fetch_from(id, [number] { return raise(number); }); });
        };
        DEMAND(has(reason(2, SIGTERM), "SIGTERM"));
        DEMAND(has(reason(3, SIGHUP), "SIGHUP"));
        DEMAND(has(reason(4, SIGALRM), "SIGALRM"));
        DEMAND(has(thrown_by<ProcessExitedException>([] {
                       fetch_from(5, [] {
                           int ends[2];
                           DEMAND(pipe(ends) == 0);
                           close(ends[0]);
                           return write(ends[1], "x", 1);
                       });
                   }),
                   "SIGPIPE"));
        DEMAND(fetch_from(6, myid) == 6);
    });
}

TEST_CASE("a task that stops its worker goes on when somebody lets it") {
    in_session(2, [] {
        const int process = worker_info(2).os_pid;
        const auto stopped = spawn_at(2, [] { return raise(SIGSTOP), 5; });
        until([] { return worker_info(2).state == WorkerState::stopped; });
        DEMAND(fetch_from(3, myid) == 3 && !stopped.isready());
        kill(process, SIGCONT);
        DEMAND(fetch(stopped) == 5);
    });
}

TEST_CASE("a session ends while a worker is stopped") {
    in_session(2, [] {
        remote_do([] { raise(SIGSTOP); }, 2);
        until([] { return worker_info(2).state == WorkerState::stopped; });
    });
}

TEST_CASE("a stack for signals that a task brings along") {
    const Outcome outcome = in_session(1, [] {
        fetch_from(2, [] {
            static std::vector<char> memory(1 << 17);
            stack_t own{};
            own.ss_sp = memory.data();
            own.ss_size = memory.size();
            DEMAND(sigaltstack(&own, nullptr) == 0);
            struct sigaction action {};
            action.sa_handler = [](int) {
                // Not the address of a local: the address sanitizer keeps those elsewhere.
                const auto* const here = static_cast<const char*>(__builtin_frame_address(0));
                seen = here >= memory.data() && here < memory.data() + memory.size() ? 2 : 1;
            };
            action.sa_flags = SA_ONSTACK;
            sigaction(SIGUSR1, &action, nullptr);
            raise(SIGUSR1);
            DEMAND(seen == 2);
        });
        thrown_by<ProcessExitedException>([] { fetch_from(2, [] { return raise(SIGSEGV); }); });
    });
    CHECK_THAT(outcome.errors, contains("killed by SIGSEGV"));
}

TEST_CASE("a signal that comes while a loop runs in a worker is handled there") {
    in_session(2, [] {
        const SharedArray<int> handled(8);
        for (const int id : workers())
            fetch_from(id, [] { count_signals(SIGUSR1); });
        const long sum = distributed(std::plus<>{}, range(0, 1000), [](long i) {
            if (i % 100 == 0)
                raise(SIGUSR1);
            return i;
        });
        DEMAND(sum == 499'500);
        int count = 0;
        for (const int id : workers())
            count += fetch_from(id, [] { return static_cast<int>(seen); });
        DEMAND(count == 10);
    });
}
