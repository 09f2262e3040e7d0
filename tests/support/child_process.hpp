// Forked children of a test: they run a body and leave by _exit, never through Catch2.
//
// An alarm ends a child that hangs; whoever waits for it sees SIGALRM in the status.
#pragma once

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <utility>

namespace dshm::test {

inline constexpr unsigned child_seconds = 120;

// Starts a child that runs `body` and exits with 0, or with 1 after printing the exception that
// ended it.
template <class Body>
pid_t start_child(Body&& body) {
    const pid_t child = fork();
    if (child < 0)
        throw std::runtime_error("fork failed");
    if (child > 0)
        return child;
    std::signal(SIGALRM, SIG_DFL);
    alarm(child_seconds);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int status = 0;
    try {
        std::forward<Body>(body)();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "child: %s\n", error.what());
        status = 1;
    }
    std::fflush(nullptr);
    _exit(status);
}

inline int wait_for(pid_t child) {
    int status = 0;
    waitpid(child, &status, 0);
    return status;
}

template <class Body>
int run_in_child(Body&& body) {
    return wait_for(start_child(std::forward<Body>(body)));
}

inline bool left_well(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
inline bool was_killed(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

// For use in a child, where Catch2's macros would go unheard.
inline void demand(bool condition, const char* text) {
    if (!condition)
        throw std::runtime_error(text);
}

} // namespace dshm::test
