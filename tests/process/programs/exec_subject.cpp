// The program whose workers are fresh processes of it: its first argument says what it does, the rest
// is what that needs. Run by exec.py.

#include <dshm/dshm.hpp>

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "dshm/runtime/process.hpp"
#include "late_library.hpp"
#include "support/sanitizers.hpp"

#define DEMAND(...) demand(static_cast<bool>(__VA_ARGS__), #__VA_ARGS__, __LINE__)

namespace {

using namespace std::chrono_literals;
using dshm::Start;
using Arguments = std::vector<std::string>;

pid_t process_of_main = 0; // in a forked worker the master, in a fresh one itself
Arguments all_arguments;

void demand(bool holds, const char* what, int line) {
    if (!holds)
        throw std::runtime_error("line " + std::to_string(line) + ": " + what);
}

template <class E, class Body>
std::string thrown_by(Body&& body) {
    try {
        body();
    } catch (const E& error) {
        return error.what();
    }
    throw std::runtime_error("nothing was thrown");
}

bool has(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

dshm::AddprocsOptions by(Start start) {
    dshm::AddprocsOptions options;
    options.start = start;
    return options;
}

dshm::AddprocsOptions program(const std::string& name, Arguments flags = {}) {
    dshm::AddprocsOptions options = by(Start::exec);
    options.exename = name;
    options.exeflags = std::move(flags);
    return options;
}

bool is_fresh(int id) {
    return dshm::fetch_from(id, [] { return process_of_main == getpid(); });
}

std::string file_text(const std::string& path) {
    std::ifstream file(path);
    std::string text;
    std::getline(file, text);
    return text;
}

std::string variable(int id, const std::string& name) {
    return dshm::fetch_from(
        id,
        [](const std::string& asked) {
            const char* value = std::getenv(asked.c_str());
            return std::string(value == nullptr ? "(unset)" : value);
        },
        name);
}

// Threads that a program may have before its Session: idle ones, or such that hold the locks of the
// allocator, of stdio and of the loader most of the time.
class Company {
public:
    Company(int count, bool busy) {
        for (int i = 0; i < count; ++i)
            threads_.emplace_back([this, busy] { keep(busy); });
    }
    Company(const Company&) = delete;
    Company& operator=(const Company&) = delete;
    ~Company() {
        over_ = true;
        over_.notify_all();
        for (std::thread& thread : threads_)
            thread.join();
    }

private:
    void keep(bool busy) {
        if (!busy)
            return over_.wait(false);
        std::FILE* file = std::fopen("/dev/null", "w");
        while (!over_) {
            std::vector<std::string> texts(100, std::string(1000, 'x'));
            std::fputs(texts.back().c_str(), file);
            std::fprintf(stdout, "%s", "");
            if (void* library = dlopen("libresolv.so.2", RTLD_NOW | RTLD_LOCAL))
                dlclose(library);
            try {
                throw std::runtime_error("one of many");
            } catch (const std::exception& error) {
                std::fputs(error.what(), file);
            }
        }
        std::fclose(file);
    }
    std::atomic<bool> over_ = false;
    std::vector<std::thread> threads_;
};

// ---- what each run does --------------------------------------------------------------------------

void mixed() {
    dshm::addprocs(2, by(Start::exec));
    dshm::addprocs(2, by(Start::fork));
    dshm::addprocs(1, by(Start::exec));
    DEMAND(dshm::workers() == (std::vector{2, 3, 4, 5, 6}));
    for (const int id : {2, 3, 6})
        DEMAND(is_fresh(id));
    for (const int id : {4, 5})
        DEMAND(!is_fresh(id));
    const dshm::SharedArray<long> squares(1000);
    dshm::sync([&] {
        dshm::distributed(squares.indices(),
                          [squares](std::size_t i) { squares[i] = static_cast<long>(i * i); });
    });
    for (std::size_t i = 0; i < squares.size(); ++i)
        DEMAND(squares[i] == static_cast<long>(i * i));
    const long sum =
        dshm::distributed(std::plus<>{}, dshm::range(0, 100'000), [](long i) { return i; });
    DEMAND(sum == 100'000L * 99'999 / 2);
    for (const int id : dshm::workers()) { // from each to the next
        const int next = id == 6 ? 2 : id + 1;
        const auto text = dshm::fetch_from(
            id,
            [](int target, const std::string& said) {
                return dshm::fetch_from(
                    target, [](const std::string& s) { return s + std::to_string(dshm::myid()); },
                    said);
            },
            next, std::string("here is "));
        DEMAND(text == "here is " + std::to_string(next));
        DEMAND(has(thrown_by<std::out_of_range>(
                       [id] { dshm::fetch_from(id, [] { return std::vector<int>(3).at(7); }); }),
                   "On worker " + std::to_string(id)));
        // Addresses in the program are put right where it is loaded elsewhere.
        const auto captured = [function = &has, literal = "a literal"](const std::string& part) {
            return function(literal, part);
        };
        DEMAND(dshm::fetch_from(id, captured, "lit"));
    }
    dshm::rmprocs(std::vector{3, 4});
    DEMAND(dshm::workers() == (std::vector{2, 5, 6}));
    DEMAND(dshm::worker_info(3).state == dshm::WorkerState::exited);
}

#ifdef DSHM_SANITIZED
constexpr std::size_t memory_limit = 0; // a sanitizer needs all the address space there is
#else
constexpr std::size_t memory_limit = std::size_t{2} << 30;
#endif

std::string attributes_of(int id) {
    return dshm::fetch_from(id, [] {
        std::string text =
            file_text("/proc/self/comm") + "|" + file_text("/proc/self/oom_score_adj") + "|";
        for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "DSHM_WORKER_START"}) {
            const char* value = std::getenv(name);
            text += std::string(value == nullptr ? "-" : value) + "|";
        }
        text += std::to_string(std::cin.get()) + "|";
        for (const int number : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ})
            text += std::signal(number, SIG_DFL) == SIG_IGN ? "i" : "d";
        std::size_t files = 0;
        for (int file = 3; file < 256; ++file)
            files += fcntl(file, F_GETFD) >= 0 ? 1 : 0;
        text += "|" + std::to_string(files) + "|";
        cpu_set_t set;
        sched_getaffinity(0, sizeof set, &set);
        text += std::to_string(CPU_COUNT(&set)) + "|";
        rlimit limit{};
        getrlimit(RLIMIT_AS, &limit);
        text += limit.rlim_cur == RLIM_INFINITY ? "unlimited" : std::to_string(limit.rlim_cur);
        return text + "|" + std::to_string(getpgid(0) == getppid());
    });
}

// A fresh worker and a forked one cannot be told apart by what the library gives them.
void attributes() {
    for (const bool all : {false, true}) {
        dshm::AddprocsOptions options;
        if (all) {
            options.affinity = dshm::Affinity::cpus({sched_getcpu()});
            options.enable_threaded_blas = true;
            options.memory_limit = memory_limit;
        }
        options.start = Start::fork;
        const int forked = dshm::addprocs(1, options)[0];
        options.start = Start::exec;
        const int fresh = dshm::addprocs(1, options)[0];
        std::string expected = attributes_of(forked);
        const std::string name = "worker " + std::to_string(forked);
        expected.replace(expected.find(name), name.size(), "worker " + std::to_string(fresh));
        if (const std::string found = attributes_of(fresh); found != expected)
            throw std::runtime_error("fresh: " + found + "\n  forked: " + expected);
        DEMAND(has(expected, all ? "|1|" : "|unlimited|"));
        if (all && memory_limit != 0)
            DEMAND(has(thrown_by<std::bad_alloc>([fresh] {
                           dshm::fetch_from(fresh, [] {
                               return std::vector<char>(std::size_t{3} << 30).size();
                           });
                       }),
                       "bad_alloc"));
    }
}

void directory_and_environment(const std::string& directory) {
    setenv("FROM_MASTER", "now", 1); // after the launcher was forked
    for (const Start start : {Start::fork, Start::exec}) {
        dshm::AddprocsOptions options = by(start);
        options.dir = directory;
        options.env = {{"ONE", "first"},      {"ONE", "second = x"}, {"HOME", "/nowhere"},
                       {"DSHM_WORKERS", "7"}, {"DSHM_RUN_FD", "0"},  {"DSHM_CAPACITY", "nonsense"}};
        const int id = dshm::addprocs(1, options)[0];
        const auto here =
            dshm::fetch_from(id, [] { return std::filesystem::current_path().string(); });
        DEMAND(std::filesystem::equivalent(here, directory));
        DEMAND(variable(id, "ONE") == "second = x");
        DEMAND(variable(id, "HOME") == "/nowhere");
        DEMAND(variable(id, "FROM_MASTER") == "now");
        DEMAND(variable(id, "DSHM_WORKERS") == "7");
    }
    std::filesystem::current_path(directory); // a relative one counts from the master's own
    std::filesystem::create_directory("below");
    for (const Start start : {Start::fork, Start::exec}) {
        dshm::AddprocsOptions options = by(start);
        options.dir = "below";
        const int id = dshm::addprocs(1, options)[0];
        DEMAND(dshm::fetch_from(id, [] {
                   return std::filesystem::current_path().filename().string();
               }) == "below");
        const int other = dshm::addprocs(1, by(start))[0];
        DEMAND(dshm::fetch_from(other, [] { return std::filesystem::current_path().string(); }) ==
               std::filesystem::current_path().string());
    }
}

void arguments(const std::string& self) {
    const Arguments own = all_arguments;
    dshm::AddprocsOptions options = by(Start::exec);
    options.exeflags = {"--more", "two words", ""};
    const int same = dshm::addprocs(1, options)[0];
    Arguments expected = own;
    expected.insert(expected.end(), {"--more", "two words", ""});
    DEMAND(dshm::fetch_from(same, [] { return all_arguments; }) == expected);
    const int named = dshm::addprocs(1, program(self, {"arguments", "x"}))[0];
    DEMAND(dshm::fetch_from(named, [] { return all_arguments; }) ==
           (Arguments{self, "arguments", "x"}));
    // A script in between, as long as it ends in the program itself.
    const int script = dshm::addprocs(1, program("/bin/sh", {"-c", "exec " + self + " s"}))[0];
    DEMAND(dshm::fetch_from(script, [] { return all_arguments; }) == (Arguments{self, "s"}));
    const std::string directory = std::filesystem::path(self).parent_path().string();
    setenv("PATH", ("/nowhere:" + directory).c_str(), 1);
    const int found = dshm::addprocs(1, program(std::filesystem::path(self).filename()))[0];
    DEMAND(is_fresh(found));
    std::filesystem::current_path(directory);
    DEMAND(is_fresh(
        dshm::addprocs(1, program("./" + std::filesystem::path(self).filename().string()))[0]));
}

std::string failure_of(int n, dshm::AddprocsOptions options) {
    const auto before = dshm::procs();
    const std::string text = thrown_by<std::runtime_error>([&] { dshm::addprocs(n, options); });
    DEMAND(dshm::procs() == before);
    return text;
}

void failures(const std::string& self) {
    DEMAND(has(failure_of(2, program("/nowhere/at-all")), "'/nowhere/at-all': No such file"));
    DEMAND(has(failure_of(2, program("/etc/passwd")), "'/etc/passwd': Permission denied"));
    DEMAND(has(failure_of(1, program("not-on-the-path-at-all")), "on PATH"));
    const std::string ended =
        failure_of(3, program("/bin/sh", {"-c", "echo to out; echo to err >&2; exit 3"}));
    DEMAND(has(ended, "exit code 3") && has(ended, "to out") && has(ended, "to err"));
    DEMAND(has(failure_of(1, program("/bin/true")), "before it took tasks"));
    DEMAND(has(failure_of(1, program("/bin/sh", {"-c", "kill -SEGV $$"})), "SIGSEGV"));
    dshm::AddprocsOptions never = program("/bin/sh", {"-c", "echo waiting; exec sleep 1000"});
    never.timeout = 300ms;
    const std::string late = failure_of(2, never);
    DEMAND(has(late, "300 ms") && has(late, "dshm::Session"));
    DEMAND(has(late, "waiting"));
    // A child of the program that was started is no worker, even if it makes a Session.
    const std::string child =
        failure_of(1, program("/bin/sh", {"-c", self + " arguments; exit 5"}));
    DEMAND(has(child, "not its parent") && has(child, "exit code 5"));
    // One bad directory is found by the worker, since it was there when it was checked.
    for (const Start start : {Start::fork, Start::exec}) {
        dshm::AddprocsOptions gone = by(start);
        gone.dir = "/proc/self/fd"; // the worker's own, where it is another directory
        DEMAND(is_fresh(dshm::addprocs(1, gone)[0]) == (start == Start::exec));
    }
    dshm::AddprocsOptions forked = by(Start::fork);
    forked.exename = "/bin/true";
    DEMAND(
        has(thrown_by<std::invalid_argument>([&] { dshm::addprocs(1, forked); }), "Start::exec"));
    forked.exename.clear();
    forked.exeflags = {"-x"};
    DEMAND(
        has(thrown_by<std::invalid_argument>([&] { dshm::addprocs(1, forked); }), "Start::exec"));
    DEMAND(has(thrown_by<std::invalid_argument>(
                   [&] { dshm::addprocs(1, program(std::string("a\0b", 3))); }),
               "zero byte"));
    const auto ids = dshm::addprocs(2, by(Start::exec));
    DEMAND(dshm::fetch_from(ids[1], [] { return 6 * 7; }) == 42);
}

// A segment of another layout, as seen by the fresh process; and one that is not a segment.
void other_build() {
    dshm::shm::Header& header = dshm::runtime::current().header();
    const std::string build_id = dshm::ship::program_build_id();
    DEMAND(build_id.size() == header.build_id.size() &&
           std::memcmp(header.build_id.data(), build_id.data(), build_id.size()) == 0);
    header.abi = 4711;
    const std::string text = failure_of(1, by(Start::exec));
    header.abi = dshm::shm::abi_number;
    DEMAND(has(text, "abi 4711") && has(text, "abi " + std::to_string(header.abi)));
    DEMAND(is_fresh(dshm::addprocs(1, by(Start::exec))[0]));
}

void deaths() {
    const auto ids = dshm::addprocs(3, by(Start::exec));
    const dshm::SharedArray<int> started(1);
    const auto task = dshm::spawn_at(ids[1], [started] {
        started[0] = 1;
        for (;;)
            pause();
    });
    while (std::atomic_ref(started[0]).load() == 0)
        sched_yield();
    kill(dshm::worker_info(ids[1]).os_pid, SIGKILL);
    DEMAND(has(thrown_by<dshm::ProcessExitedException>([&] { task.get(); }), "SIGKILL"));
    DEMAND(has(dshm::worker_info(ids[1]).exit_reason, "SIGKILL"));
    DEMAND(has(thrown_by<dshm::ProcessExitedException>(
                   [&] { dshm::fetch_from(ids[2], [] { std::exit(3); }); }),
               "exit code 3"));
    DEMAND(dshm::workers() == std::vector{ids[0]});
    const int next = dshm::addprocs(1, by(Start::exec))[0];
    DEMAND(next == ids[2] + 1);
    DEMAND(dshm::fetch_from(next, [] { return 6 * 7; }) == 42);
}

void threads() {
    const auto ids = dshm::addprocs(2);
    std::printf("%s\n", is_fresh(ids[0]) && is_fresh(ids[1]) ? "fresh" : "forked");
    const int forked = dshm::addprocs(1, by(Start::fork))[0];
    DEMAND(!is_fresh(forked));
    DEMAND(dshm::nworkers() == 3);
}

// The launcher is forked in the middle of what other threads do.
void busy() {
    DEMAND(is_fresh(dshm::addprocs(1)[0]));
    DEMAND(has(failure_of(1, program("/nowhere/at-all")), "No such file"));
    DEMAND(has(
        thrown_by<dshm::ProcessExitedException>([] { dshm::fetch_from(2, [] { std::abort(); }); }),
        "SIGABRT"));
}

using Late = int (*)(int);

template <class Function>
Function symbol(void* library, const char* name) {
    void* address = dlsym(library, name);
    DEMAND(address != nullptr);
    return reinterpret_cast<Function>(address);
}

void late_library(const std::string& path) {
    dshm::addprocs(1, by(Start::fork));
    dshm::addprocs(1, by(Start::exec));
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        throw std::runtime_error(dlerror());
    const auto answer = symbol<Late>(library, "late_answer");
    const auto call = symbol<int (*)(int, int)>(library, "late_call");
    for (const int id : dshm::workers()) {
        DEMAND(variable(id, "LATE_LIBRARY_BUILD") == "(unset)");
        DEMAND(dshm::fetch_from(id, answer, 41) == 42); // its function
        DEMAND(call(id, 99) == 100);                    // its closure
        DEMAND(dshm::fetch_from(
                   id, [](Late f) { return f(1); }, answer) == 2);
        DEMAND(variable(id, "LATE_LIBRARY_BUILD") == "1");
    }
}

// The file is another build, or gone, by the time the workers look for it.
void replaced_library(const std::string& path, const std::string& other) {
    dshm::addprocs(1, by(Start::fork));
    dshm::addprocs(1, by(Start::exec));
    void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr)
        throw std::runtime_error(dlerror());
    const auto answer = symbol<Late>(library, "late_answer");
    std::filesystem::rename(other, path);
    for (const int id : dshm::workers()) {
        const std::string text =
            thrown_by<dshm::UnknownFunction>([&] { dshm::fetch_from(id, answer, 41); });
        std::printf("%s\n", text.c_str());
        DEMAND(variable(id, "LATE_LIBRARY_BUILD") == "(unset)"); // it lives, and ran none of it
    }
    std::filesystem::remove(path);
    for (const int id : dshm::workers()) {
        const std::string text =
            thrown_by<dshm::UnknownFunction>([&] { dshm::fetch_from(id, answer, 41); });
        DEMAND(has(text, path) && has(text, "No such file"));
        DEMAND(dshm::fetch_from(id, [] { return 6 * 7; }) == 42);
    }
}

// Another program with the same dshm joins; its functions are its own.
void other_program(const std::string& path) {
    const int id = dshm::addprocs(1, program(path, {"nothing"}))[0];
    DEMAND(dshm::workers() == std::vector{id});
    const std::string text =
        thrown_by<dshm::UnknownFunction>([&] { dshm::fetch_from(id, [] { return 6 * 7; }); });
    std::printf("%s\n", text.c_str());
    DEMAND(has(text, "exec_subject") && has(text, "build id"));
    DEMAND(dshm::worker_info(id).state == dshm::WorkerState::running);
}

// Tells its reader the processes of the session, and never ends by itself.
void work_for_ever() {
    dshm::addprocs(1, by(Start::exec));
    dshm::addprocs(1, by(Start::fork));
    std::printf("launcher %d\n", dshm::fetch([] { return static_cast<int>(getppid()); }));
    for (const int id : dshm::workers())
        std::printf("worker %d\n", dshm::worker_info(id).os_pid);
    std::printf("working\n");
    std::fflush(stdout);
    dshm::fetch([] {
        for (;;)
            pause();
    });
}

void run(const std::string& what, const Arguments& more) {
    static const std::map<std::string, void (*)(const Arguments&)> runs = {
        {"mixed", [](const Arguments&) { mixed(); }},
        {"attributes", [](const Arguments&) { attributes(); }},
        {"place", [](const Arguments& a) { directory_and_environment(a.at(0)); }},
        {"arguments", [](const Arguments& a) { arguments(a.at(0)); }},
        {"failures", [](const Arguments& a) { failures(a.at(0)); }},
        {"other-build", [](const Arguments&) { other_build(); }},
        {"deaths", [](const Arguments&) { deaths(); }},
        {"threads", [](const Arguments&) { threads(); }},
        {"busy", [](const Arguments&) { busy(); }},
        {"late", [](const Arguments& a) { late_library(a.at(0)); }},
        {"replaced", [](const Arguments& a) { replaced_library(a.at(0), a.at(1)); }},
        {"other-program", [](const Arguments& a) { other_program(a.at(0)); }},
        {"work", [](const Arguments&) { work_for_ever(); }},
        {"count", [](const Arguments&) { std::printf("%d workers\n", dshm::nprocs() - 1); }},
        {"startup", [](const Arguments&) { dshm::addprocs(1, by(Start::exec)); }},
    };
    runs.at(what)(more);
}

} // namespace

int main(int argc, char** argv) {
    all_arguments.assign(argv, argv + argc);
    process_of_main = getpid();
    const std::string what = argc > 1 ? argv[1] : "";
    if (what == "startup")
        std::printf("main begins"); // and nothing flushes it but the Session
    const Company company(what == "threads" ? 1 : what == "busy" ? 3 : 0, what == "busy");
    int status = 0;
    try {
        dshm::Session session(argc, argv);
        run(what, all_arguments.size() > 2
                      ? Arguments(all_arguments.begin() + 2, all_arguments.end())
                      : Arguments());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "exec_subject: %s\n", error.what());
        status = 9;
    }
    return status;
}
