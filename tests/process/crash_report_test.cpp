// What is said of a worker that crashes: to the program's standard error, and to who waits for it.

#include <dlfcn.h>
#include <sys/mman.h>

#include <cassert>
#include <cstdlib>
#include <limits>
#include <stdexcept>
#include <thread>

#include "sanitizers.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// Of functions that the compiler must not see through.
int* volatile nowhere = nullptr;
volatile int zero = 0;

DSHM_UNSANITIZED int write_nowhere() {
    *nowhere = 1;
    return zero;
}
DSHM_UNSANITIZED int divide_by_zero() { return 100 / zero; }
[[gnu::noinline]] int give_up() { std::abort(); }
DSHM_UNSANITIZED int no_instruction() { __builtin_trap(); }
[[gnu::noinline]] int read_cut_file() {
    const int file = memfd_create("cut", MFD_CLOEXEC);
    const auto* const page =
        static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0));
    return page[zero];
}
DSHM_UNSANITIZED int break_stack() {
    volatile char small[16];
    for (int i = 0; i < 4096; ++i)
        const_cast<char*>(small)[i + zero] = 0x41;
    return write_nowhere();
}
[[gnu::noinline]] int throw_something() { throw std::runtime_error("nobody catches this"); }
int throw_further() noexcept { return throw_something(); }

struct Death {
    std::string reason, what, errors;
};

// Of worker 2, whose task is `task`.
template <class Task>
Death death_by(Task task, SessionOptions options = {}) {
    Death death;
    options.workers = 1;
    const Outcome outcome = outcome_of(options, [&] {
        try {
            fetch_from(2, task);
            DEMAND(false);
        } catch (const ProcessExitedException& error) {
            DEMAND(error.pid() == 2);
            DEMAND(has(error.what(), error.reason()) && has(error.what(), error.last_words()));
            until([] { return has_ended(2); });
            DEMAND(worker_info(2).last_words == error.last_words());
            std::printf("%s\n--\n%s", error.reason().c_str(), error.what());
        }
    });
    INFO(outcome.errors);
    REQUIRE(outcome.exited_with(0));
    const auto border = outcome.output.find("\n--\n");
    REQUIRE(border != std::string::npos);
    return {outcome.output.substr(0, border), outcome.output.substr(border + 4), outcome.errors};
}

template <class Task>
void check_crash(Task task, const char* signal, const char* function) {
    const Death death = death_by(task);
    INFO(death.errors);
    CHECK_THAT(death.reason, contains(signal) && contains("while running"));
    CHECK_THAT(death.errors, contains("dshm: worker 2 (process ") && contains(signal));
    CHECK_THAT(death.errors, contains(function));
    CHECK_THAT(death.what, contains(function));
}

} // namespace

TEST_CASE("a crash is told with its signal, its task and its calls") {
    check_crash([] { return write_nowhere(); }, "SIGSEGV", "write_nowhere");
    check_crash([] { return give_up(); }, "SIGABRT", "give_up");
    check_crash([] { return no_instruction(); }, "SIG", "no_instruction");
    check_crash([] { return read_cut_file(); }, "SIGBUS", "read_cut_file");
#if defined(__x86_64__)
    check_crash([] { return divide_by_zero(); }, "SIGFPE", "divide_by_zero");
#endif
}

TEST_CASE("an address says what is wrong with it") {
    CHECK_THAT(death_by([] { return write_nowhere(); }).errors,
               contains("address 0x0, where nothing is mapped"));
}

TEST_CASE("an exception that nobody catches is told once, with its type and text") {
    const Death death = death_by([] { return throw_further(); });
    CHECK(times(death.errors, "nobody catches this") == 1);
    CHECK_THAT(death.what, contains("std::runtime_error") && contains("nobody catches this"));
}

TEST_CASE("the last lines that a worker printed come with the exception, also from a buffer") {
    const Death death = death_by([] {
        for (int i = 0; i < 100; ++i)
            std::printf("step %d\n", i);
        std::fputs("in trouble\n", stderr);
        return write_nowhere();
    });
    CHECK_THAT(death.what, contains("step 99") && contains("in trouble"));
    CHECK_THAT(death.what, !contains("step 90\n"));
    CHECK(times(death.errors, "in trouble") == 1);
}

TEST_CASE("a crash in a thread that runs no tasks names the thread") {
    const Death death = death_by([] {
        std::thread([] { write_nowhere(); }).join();
        return 0;
    });
    CHECK_THAT(death.errors, contains("write_nowhere") && contains("does not run tasks"));
    CHECK_THAT(death.reason, contains("SIGSEGV"));
}

TEST_CASE("a crash in a task that has waited is that task's") {
    const Outcome outcome = in_session(1, [] {
        const Future<int> later;
        const auto waits = spawn_at(2, [later] { return later.get() + write_nowhere(); });
        fetch_from(2, [] {});
        later.put(1);
        const std::string text = thrown_by<ProcessExitedException>([&] { waits.get(); });
        DEMAND(has(text, "write_nowhere"));
    });
    CHECK_THAT(outcome.errors, contains("killed by SIGSEGV") && contains("while running"));
}

TEST_CASE("a crash that cannot be written down ends all the same") {
    CHECK_THAT(death_by([] { return break_stack(); }).reason,
               contains("SIGSEGV") || contains("SIGABRT"));
    CHECK_THAT(death_by([] {
                   void (*volatile function)() = nullptr;
                   function();
                   return 0;
               }).errors,
               contains("[0x0]"));
    CHECK_THAT(death_by([] {
                   fclose(stderr);
                   ::close(STDERR_FILENO);
                   return write_nowhere();
               }).errors,
               contains("write_nowhere"));
}

TEST_CASE("a program's own handler of a fault is left to it") {
    const Death death = death_by([] {
        std::signal(SIGSEGV, [](int) { _exit(7); });
        return write_nowhere();
    });
    CHECK_THAT(death.reason, contains("exit code 7"));
    CHECK_THAT(death.errors, !contains("write_nowhere"));
}

TEST_CASE("signals that somebody sends are told by name") {
    CHECK_THAT(death_by([] { return raise(SIGKILL); }).reason, contains("killed by SIGKILL while"));
    CHECK_THAT(death_by([] { return raise(SIGTERM); }).reason, contains("killed by SIGTERM while"));
    CHECK_THAT(death_by([] { return raise(SIGRTMIN + 3); }).reason, contains("SIGRTMIN+3"));
    CHECK_THAT(death_by([]() -> int { std::exit(3); }).reason, contains("exit code 3 while"));
}

TEST_CASE("workers that are removed leave in silence") {
    const Outcome outcome = in_session(2, [] { rmprocs({2, 3}); });
    CHECK(outcome.errors.empty());
}
