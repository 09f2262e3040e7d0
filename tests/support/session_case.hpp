// A session of a test's own: it runs in a forked child, because a process has one session at a time.
//
//     in_session(2, [] { DEMAND(dshm::fetch([] { return 6 * 7; }) == 42); });
//
// The child's output goes to files that are read when all is over, and an alarm ends a child that hangs. The test is the
// subreaper of whatever the child leaves behind, so it can wait, for an event and not for a time, until the last of them has gone.
#pragma once

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "child_process.hpp"
#include "dshm/dshm.hpp"

// Catch2's macros go unheard in a child: this ends it with the text of what did not hold.
#define DEMAND(...)                                                                                \
    ::dshm::test::demand_at(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __FILE__, __LINE__)

namespace dshm::test {

inline void demand_at(bool holds, const char* what, const char* file, int line) {
    if (!holds)
        throw std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + what);
}

// Gives the processor away until something holds. The alarm of the case ends a wait for what never comes.
template <class Condition>
void until(Condition&& holds) {
    while (!holds())
        sched_yield();
}

// The text of what `body` throws as an E; a demand that it throws one.
template <class E, class Body>
std::string thrown_by(Body&& body) {
    try {
        body();
    } catch (const E& error) {
        return error.what();
    }
    throw std::runtime_error("nothing was thrown");
}

inline bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

inline std::size_t times(std::string_view text, std::string_view part) {
    std::size_t count = 0;
    for (std::size_t at = 0; (at = text.find(part, at)) != std::string_view::npos;
         at += part.size())
        ++count;
    return count;
}

inline bool has_ended(WorkerId id) { return worker_info(id).state == WorkerState::exited; }

// Kills a worker and waits until the launcher has recovered what it had.
inline void kill_worker(WorkerId id, int number = SIGKILL) {
    kill(worker_info(id).os_pid, number);
    until([id] { return has_ended(id); });
}

// A flag that all processes see: raised here, awaited there.
class Flag {
public:
    Flag() : word_(1) {}
    void raise() const { std::atomic_ref(word_[0]).store(1, std::memory_order_release); }
    bool raised() const { return std::atomic_ref(word_[0]).load(std::memory_order_acquire) != 0; }
    void await() const {
        until([this] { return raised(); });
    }

private:
    SharedArray<int> word_;
};

struct Outcome {
    int status = 0;
    std::string output;
    std::string errors;

    bool exited_with(int code) const { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
    bool killed_by(int number) const { return WIFSIGNALED(status) && WTERMSIG(status) == number; }
};

// A file in memory that takes a child's output, each write at its end.
class Capture {
public:
    Capture() : file_(memfd_create("capture", MFD_CLOEXEC)) { fcntl(file_, F_SETFL, O_APPEND); }
    Capture(const Capture&) = delete;
    Capture& operator=(const Capture&) = delete;
    ~Capture() { ::close(file_); }
    int file() const { return file_; }
    std::string text() const {
        std::string text(static_cast<std::size_t>(lseek(file_, 0, SEEK_END)), '\0');
        if (pread(file_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
            text = "(unreadable)";
        return text;
    }

private:
    int file_;
};

inline std::vector<std::string> segments_named(const std::string& name) {
    std::vector<std::string> found;
    DIR* directory = opendir("/dev/shm");
    while (const dirent* entry = directory == nullptr ? nullptr : readdir(directory))
        if (std::string(entry->d_name) == "dshm." + std::to_string(getuid()) + "." + name)
            found.push_back(entry->d_name);
    if (directory != nullptr)
        closedir(directory);
    return found;
}

// Waits until every process that came from `child`, and was left behind by it, has ended too.
inline void await_orphans() {
    while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
}

inline constexpr unsigned case_seconds = 60;

// A running case, for tests that do something to it from outside.
class SessionCase {
public:
    template <class Body>
    SessionCase(SessionOptions options, Body&& body)
        : name_("case." + std::to_string(getpid()) + "." + std::to_string(counter()++)) {
        prctl(PR_SET_CHILD_SUBREAPER, 1);
        std::cout.flush();
        std::fflush(nullptr);
        options.name = name_;
        child_ = start_child([&] {
            dup2(output_.file(), STDOUT_FILENO);
            dup2(errors_.file(), STDERR_FILENO);
            for (const int number : {SIGINT, SIGILL, SIGFPE, SIGSEGV, SIGTERM, SIGABRT})
                std::signal(number, SIG_DFL);
            alarm(case_seconds);
            Session session(options);
            body();
        });
    }
    pid_t process() const { return child_; }
    const std::string& name() const { return name_; }
    std::string output() const { return output_.text(); }
    std::string errors() const { return errors_.text(); }

    // Until the master and all that came from it have ended. Nothing may be left in /dev/shm then.
    Outcome join() {
        Outcome outcome;
        outcome.status = wait_for(child_);
        await_orphans();
        outcome.output = output();
        outcome.errors = errors();
        CHECK(segments_named(name_).empty());
        return outcome;
    }

private:
    static int& counter() {
        static int count = 0;
        return count;
    }
    std::string name_;
    Capture output_;
    Capture errors_;
    pid_t child_ = 0;
};

template <class Body>
Outcome outcome_of(SessionOptions options, Body&& body) {
    return SessionCase(std::move(options), body).join();
}
template <class Body>
Outcome outcome_of(int workers, Body&& body) {
    SessionOptions options;
    options.workers = workers;
    return outcome_of(options, body);
}

// Runs `body` in a session with so many workers; it must end well. Gives what was printed.
template <class Body>
Outcome in_session(int workers, Body&& body) {
    Outcome outcome = outcome_of(workers, body);
    INFO("standard output:\n" << outcome.output);
    INFO("standard error:\n" << outcome.errors);
    INFO((outcome.killed_by(SIGALRM) ? "the session hung: its watchdog ended it"
                                     : "the session did not end well"));
    REQUIRE(outcome.exited_with(0));
    return outcome;
}

} // namespace dshm::test
