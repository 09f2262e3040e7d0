// What programs do with processes of their own inside of a session: fork, exec, popen, exit, in the master and in tasks.

#include <fcntl.h>
#include <spawn.h>
#include <sys/syscall.h>

#include <cstdlib>
#include <thread>

#include "sanitizers.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

extern char** environ;

namespace {

// A child of the caller that runs `body` and leaves by `_exit` with what it gives.
template <class Body>
pid_t child_of_own(Body&& body) {
    const pid_t child = fork();
    if (child == 0) {
        alarm(case_seconds);
        _exit(body());
    }
    DEMAND(child > 0);
    return child;
}

// Words that all processes share which are forked from here: it is not the session's memory.
class Signs {
public:
    Signs()
        : words_(static_cast<std::atomic<int>*>(
              mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {}
    Signs(const Signs&) = delete;
    Signs& operator=(const Signs&) = delete;
    ~Signs() { munmap(words_, 4096); }
    std::atomic<int>& operator[](int i) const { return words_[i]; }
    void await(int i) const {
        until([&] { return words_[i] != 0; });
    }

private:
    std::atomic<int>* words_;
};

int code_of(pid_t child) {
    const int status = wait_for(child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

// 7 when everything that is asked of the library throws std::logic_error.
int is_refused() {
    thrown_by<std::logic_error>([] { fetch_from(1, [] {}); });
    thrown_by<std::logic_error>([] { spawn([] {}); });
    thrown_by<std::logic_error>([] { SharedArray<int>(10); });
    thrown_by<std::logic_error>([] { myid(); });
    thrown_by<std::logic_error>([] { addprocs(1); });
    return 7;
}

std::string read_all(int file) {
    std::string text;
    char piece[256];
    for (ssize_t size; (size = read(file, piece, sizeof piece)) > 0;)
        text.append(piece, static_cast<std::size_t>(size));
    return text;
}

// The text of the death of worker 2, whose task is `task`.
template <class Task>
std::string death_of(Task task) {
    return thrown_by<ProcessExitedException>([&] { fetch_from(2, task); });
}

int raise_anything() { throw std::runtime_error("out of main"); }

// A program that lasts longer than any test.
void run_long() { execl("/bin/sleep", "sleep", "1000", nullptr); }

std::string title_of(int process) {
    const int file = open(("/proc/" + std::to_string(process) + "/comm").c_str(), O_RDONLY);
    std::string text = read_all(file);
    close(file);
    return text;
}

SessionOptions with_workers(int workers) {
    SessionOptions options;
    options.workers = workers;
    return options;
}

} // namespace

// ---- fork --------------------------------------------------------------------------------------

TEST_CASE("children of the master have no part in the session, and end as they like") {
    in_session(1, [] {
        const SharedArray<int> array(10);
        const auto future = spawn([] { return 5; });
        DEMAND(code_of(child_of_own(is_refused)) == 7);
        DEMAND(code_of(child_of_own([] { return 6 * 7; })) == 42);
        DEMAND(code_of(child_of_own([]() -> int { std::quick_exit(5); })) == 5);
        DEMAND(code_of(child_of_own([]() -> int { abort(); })) == -SIGABRT);
        DEMAND(code_of(child_of_own([&] { // nor may handles be copied there
                   thrown_by<std::logic_error>([&] { static_cast<void>(Future<int>(future)); });
                   return 3;
               })) == 3);
        DEMAND(fetch(future) == 5 && fetch_from(2, [array] { return array[9]; }) == 0);
    });
}

TEST_CASE("a child of the master that calls exit runs handlers and leaves the session alone") {
    const Outcome outcome = in_session(1, [] {
        static const SharedArray<int> array(1000);
        static const Future<int> future = spawn([] { return 5; });
        std::atexit([] { static_cast<void>(!write(STDOUT_FILENO, "handler\n", 8)); });
        const pid_t child = fork();
        if (child == 0)
            std::exit(4);
        DEMAND(code_of(child) == 4);
        DEMAND(fetch(future) == 5 && array[999] == 0);
        DEMAND(fetch_from(2, myid) == 2);
    });
    CHECK(outcome.output == "handler\n");
}

TEST_CASE("a session of its own in a child of the master") {
    in_session(1, [] {
        DEMAND(code_of(child_of_own([] {
                   Session session(with_workers(2));
                   return fetch_from(3, [] { return 6 * 7; });
               })) == 42);
        DEMAND(fetch_from(2, myid) == 2);
    });
}

TEST_CASE("children that live on do not keep the session") {
    // Word 0: they may go; 1 and 2: the master's one and that of a worker are there; 3 and 4: they have gone.
    static const Signs* signs = nullptr;
    const Signs words;
    signs = &words;
    static const auto live_on = [](int number) {
        child_of_own([number] {
            (*signs)[number] = 1;
            signs->await(0);
            (*signs)[number + 2] = 1;
            return 0;
        });
    };
    SessionCase session(with_workers(2), [] {
        live_on(1);
        fetch_from(2, [] { live_on(2); });
        signs->await(1);
        signs->await(2);
        kill_worker(2);
        DEMAND(fetch_from(3, myid) == 3);
    });
    until([&] { return words[1] != 0 && words[2] != 0; });
    until([&] { return segments_named(session.name()).empty(); });
    CHECK((words[3] == 0 && words[4] == 0));
    words[0] = 1;
    CHECK(session.join().exited_with(0));
    CHECK((words[3] == 1 && words[4] == 1));
}

TEST_CASE("children of a task compute, are refused, crash and are waited for") {
    const Outcome outcome = in_session(1, [] {
        fetch_from(2, [] {
            DEMAND(code_of(child_of_own([] { return 6 * 7; })) == 42);
            DEMAND(code_of(child_of_own(is_refused)) == 7);
            DEMAND(code_of(child_of_own([]() -> int { return raise(SIGKILL); })) == -SIGKILL);
            DEMAND(code_of(child_of_own([]() -> int { return raise(SIGSEGV); })) == -SIGSEGV);
            DEMAND(code_of(child_of_own([]() -> int { abort(); })) == -SIGABRT);
            DEMAND(waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD);
        });
        DEMAND(worker_info(2).state == WorkerState::running && worker_info(2).last_words.empty());
        DEMAND(fetch_from(2, myid) == 2);
    });
    CHECK(outcome.errors.empty());
}

TEST_CASE("a crash after that of a child is told as if there had been no child") {
    const Outcome outcome = in_session(1, [] {
        death_of([] {
            wait_for(child_of_own([]() -> int { abort(); }));
            raise(SIGSEGV);
        });
    });
    CHECK(times(outcome.errors, "ended: killed by") == 1);
    CHECK_THAT(outcome.errors, contains("SIGSEGV"));
    CHECK(times(outcome.errors, "SIGABRT") == 0);
}

TEST_CASE("the memory of the session is not there in a child, which ends") {
    in_session(1, [] {
        const SharedArray<int> array(10);
        DEMAND(code_of(child_of_own([&] { return array[3]; })) == -SIGSEGV);
        fetch_from(
            2, [array] { DEMAND(code_of(child_of_own([&] { return array[3]; })) == -SIGSEGV); });
        DEMAND(fetch_from(2, [array] { return array[3]; }) == 0);
    });
}

TEST_CASE("a child that returns from its task ends, and the task has its parent's result") {
    in_session(1, [] {
        DEMAND(fetch_from(2, [] {
                   const pid_t child = fork();
                   if (child == 0)
                       return 1;
                   DEMAND(wait_for(child) != 0);
                   return 2;
               }) == 2);
        DEMAND(fetch_from(2, myid) == 2);
        // So does one that throws.
        DEMAND(fetch_from(2, [] {
                   const pid_t child = fork();
                   if (child == 0)
                       throw std::runtime_error("in the child");
                   DEMAND(wait_for(child) != 0);
                   return 3;
               }) == 3);
        DEMAND(fetch_from(2, myid) == 2);
    });
}

TEST_CASE("a child of a task that calls exit prints nothing twice") {
    const Outcome outcome = in_session(1, [] {
        fetch_from(2, [] {
            std::atexit([] { std::puts("handler"); });
            std::printf("before\n");
            std::cout << "too\n";
            const pid_t child = fork();
            if (child == 0) {
                std::printf("child\n");
                std::exit(0);
            }
            DEMAND(code_of(child) == 0);
            std::printf("after\n");
        });
    });
    const std::string tag = "      From worker 2:\t";
    CHECK(outcome.output ==
          tag + "before\n" + tag + "too\n" + tag + "child\n" + tag + "handler\n" + tag + "after\n");
}

TEST_CASE("programs that a task starts are shown, and their statuses are the task's") {
    const Outcome outcome = in_session(1, [] {
        fetch_from(2, [] {
            DEMAND(std::system("echo by system; exit 3") == 3 << 8);
            FILE* const pipe = popen("echo by popen", "r");
            DEMAND(read_all(fileno(pipe)) == "by popen\n" && pclose(pipe) == 0);
            char name[] = "echo", text[] = "by posix_spawn";
            char* arguments[] = {name, text, nullptr};
            pid_t child = 0;
            DEMAND(posix_spawn(&child, "/bin/echo", nullptr, nullptr, arguments, environ) == 0);
            DEMAND(code_of(child) == 0);
            const pid_t other = fork();
            if (other == 0)
                execl("/bin/sh", "sh", "-c", "ls /proc/self/fd | wc -l; kill -9 $$", nullptr);
            DEMAND(code_of(other) == -SIGKILL);
        });
    });
    const std::string tag = "      From worker 2:\t";
    CHECK_THAT(outcome.output, contains(tag + "by system\n" + tag + "by posix_spawn\n"));
    CHECK_THAT(outcome.output,
               contains(tag + "4\n")); // standard streams and the directory: no file of ours
}

TEST_CASE("the launcher is a child of the master, which may even have waited for it") {
    // `waitpid(-1)` finds it as any child, and the session ends as ever.
    in_session(1, [] {
        child_of_own([] { return 0; });
        until([] { return waitpid(-1, nullptr, WNOHANG) > 0; });
        DEMAND(waitpid(-1, nullptr, WNOHANG) == 0); // the launcher, alive
        DEMAND(fetch_from(2, myid) == 2);
    });
    in_session(1, [] {
        kill(fetch_from(2, [] { return static_cast<int>(getppid()); }), SIGKILL);
        until([] { return waitpid(-1, nullptr, WNOHANG) > 0; });
        thrown_by<std::runtime_error>([] { addprocs(1); });
    });
    in_session(1, [] {
        std::signal(SIGCHLD, SIG_IGN); // whoever ends is reaped by the kernel
        DEMAND(fetch_from(2, myid) == 2);
    });
}

// ---- exec --------------------------------------------------------------------------------------

TEST_CASE("exec in a task ends the worker when its program ends") {
    const Outcome outcome = in_session(3, [] {
        DEMAND(has(death_of([] { execl("/bin/true", "true", nullptr); }), "exit code 0"));
        DEMAND(has(thrown_by<ProcessExitedException>([] {
                       fetch_from(3, [] {
                           execl("/bin/sh", "sh", "-c", "echo printed; exit 7", nullptr);
                       });
                   }),
                   "exit code 7"));
        DEMAND(fetch_from(4, [] { return execl("/nonexistent", "x", nullptr); }) == -1);
        DEMAND(fetch_from(4, myid) == 4);
    });
    CHECK_THAT(outcome.output, contains("      From worker 3:\tprinted\n"));
}

TEST_CASE("a program in a worker's place is busy, and ends with the session or by a signal") {
    in_session(2, [] {
        const auto first = spawn_at(2, run_long);
        const auto second = spawn_at(3, run_long);
        const int process = worker_info(3).os_pid;
        until([&] { return title_of(process) == "sleep\n"; });
        kill_worker(3, SIGTERM);
        DEMAND(has(thrown_by<ProcessExitedException>([&] { fetch(second); }), "SIGTERM"));
        DEMAND(!first.isready() && worker_info(2).state == WorkerState::running);
        until([] { return title_of(worker_info(2).os_pid) == "sleep\n"; });
    });
}

TEST_CASE("exec in the master ends its session") {
    const Outcome outcome = outcome_of(2, [] {
        const Flag started;
        remote_do(run_long, 2);
        remote_do(
            [started] {
                started.raise();
                for (;;)
                    pause();
            },
            3);
        started.await();
        std::fflush(nullptr);
        execl("/bin/sh", "sh", "-c", "ls -l /proc/self/fd", nullptr);
    });
    CHECK(outcome.exited_with(0));
    INFO(outcome.output);
    CHECK(!has(outcome.output, "dshm"));
}

TEST_CASE("exec in the master ends its session although a program lives on in its place") {
    SessionCase session(with_workers(2), [] {
        remote_do(pause, 2);
        run_long();
    });
    until([&] { return title_of(session.process()) == "sleep\n"; });
    until([&] { return segments_named(session.name()).empty(); });
    kill(session.process(), SIGKILL);
    CHECK(session.join().killed_by(SIGKILL));
}

TEST_CASE("exec in the master ends its session although a child of its own lives on") {
    SessionCase session(with_workers(1), [] {
        child_of_own([] { return pause(); });
        run_long();
    });
    until([&] { return title_of(session.process()) == "sleep\n"; });
    const auto children = [&] {
        const std::string path = "/proc/" + std::to_string(session.process()) + "/task/" +
                                 std::to_string(session.process()) + "/children";
        const int file = open(path.c_str(), O_RDONLY);
        std::string text = read_all(file);
        close(file);
        return text;
    };
    const int own = std::atoi(children().substr(children().find(' ')).c_str());
    until([&] { return segments_named(session.name()).empty(); });
    kill(own, SIGKILL);
    kill(session.process(), SIGKILL);
    session.join();
}

// ---- exit --------------------------------------------------------------------------------------

TEST_CASE("a worker that leaves in a task says how, whichever way") {
    const auto printed = [](auto task) {
        return in_session(1,
                          [&] {
                              DEMAND(has(death_of(task), "exit code 5"));
                              DEMAND(workers() == std::vector<int>{1});
                              DEMAND(addprocs(1) == std::vector<int>{3} &&
                                     fetch_from(3, myid) == 3);
                          })
            .output;
    };
    static const auto handled = [] {
        std::atexit([] { std::puts("exit"); });
        std::at_quick_exit([] { static_cast<void>(!write(STDOUT_FILENO, "quick\n", 6)); });
    };
    const std::string tag = "      From worker 2:\t";
    CHECK(printed([] { handled(), std::exit(5); }) == tag + "exit\n");
    CHECK(printed([] { handled(), std::quick_exit(5); }) == tag + "quick\n");
    CHECK(printed([] { handled(), _exit(5); }) == "");
    CHECK(printed([] { std::printf("kept"), std::exit(5); }) == tag + "kept\n");
    CHECK(printed([] { // by another thread, while the task waits for it
              handled();
              std::thread([] { std::exit(5); }).join();
          }) == tag + "exit\n");
    CHECK(printed([] { // below a task that has set its wait aside
              handled();
              fetch(spawn([] { std::exit(5); }));
          }) == tag + "exit\n");
}

TEST_CASE("exit handlers of a worker that is sent home do not run") {
    const Outcome outcome = in_session(1, [] {
        fetch_from(2, [] { std::atexit([] { std::puts("handler"); }); });
        rmprocs(2).wait();
    });
    CHECK(outcome.output.empty());
}

TEST_CASE("a worker whose thread is ended by pthread_exit ends") {
    const Outcome outcome = in_session(2, [] {
        DEMAND(has(death_of([] { pthread_exit(nullptr); }), "SIGABRT"));
        DEMAND(fetch_from(3, [] {
                   int value = 0;
                   std::thread([&] {
                       value = 4;
                       pthread_exit(nullptr);
                   }).join();
                   return value;
               }) == 4);
    });
    CHECK_THAT(outcome.errors, contains("pthread_exit"));
}

TEST_CASE("however the master leaves, nothing of the session is left") {
    const auto left = [](auto leave) {
        return outcome_of(2, [&] {
            const Flag started;
            remote_do(
                [started] {
                    started.raise();
                    for (;;)
                        pause();
                },
                2);
            started.await();
            leave();
        });
    };
    CHECK(left([] { std::exit(6); }).exited_with(6));
    CHECK(left([] { _exit(6); }).exited_with(6));
    CHECK(left([] { std::quick_exit(6); }).exited_with(6));
    CHECK(left([] { std::abort(); }).killed_by(SIGABRT));
    CHECK(left([] { std::terminate(); }).killed_by(SIGABRT));
    CHECK(left([] { raise(SIGTERM); }).killed_by(SIGTERM));
    CHECK(left([] { std::thread([] { std::exit(6); }).join(); }).exited_with(6));
#ifndef DSHM_SANITIZED // the leak sanitizer sees only the stack that is run on, and takes what others hold for lost
    CHECK(left([] { fetch_from(1, [] { std::exit(6); }); }).exited_with(6)); // in a task
#endif
    CHECK(left([]() noexcept { fetch_from(1, raise_anything); }).killed_by(SIGABRT));
    CHECK(left([] { syscall(SYS_exit_group, 6); }).exited_with(6));
}

TEST_CASE("handles that outlive the session in static objects are let go by exit") {
    CHECK(outcome_of(1, [] {
              static const SharedArray<int> array(1000);
              static const Future<int> future = spawn([] { return 1; });
              static const RemoteChannel<int> channel(4);
              std::exit(0);
          }).exited_with(0));
}
