#include "dshm/launch/worker_setup.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>

#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

// Killed before the master when memory runs out, but after what the user made more eligible.
constexpr std::string_view out_of_memory_score = "200";

// Ctrl-C and its like reach the whole foreground group; the launcher ends with the master, which is the
// one that is meant.
constexpr std::array signals_of_the_master = {SIGINT,  SIGTERM, SIGQUIT, SIGHUP,
                                              SIGPIPE, SIGTTOU, SIGTSTP};

constexpr std::array thread_variables = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                         "MKL_NUM_THREADS"};

// The launcher's standard input is empty as it is.
void connect_streams(const os::Fd& output, const os::Fd& errors) {
    dup2(output.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
}

// The launcher has no handlers.
void heed_signals_again() {
    for (const int number : signals_of_the_master)
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

void prefer_for_out_of_memory() {
    if (const os::Fd score(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC)); score)
        static_cast<void>(
            !::write(score.get(), out_of_memory_score.data(), out_of_memory_score.size()));
}

using SetThreads = void (*)(int);

using ThreadSetters = std::array<SetThreads, 2>;

// Of libraries that are loaded: those read no environment any more, they are told. What is missing
// takes the loader longest.
ThreadSetters look_for_thread_setters() {
    const auto setter = [](const char* name) {
        return reinterpret_cast<SetThreads>(dlsym(RTLD_DEFAULT, name));
    };
    return {setter("omp_set_num_threads"), setter("openblas_set_num_threads")};
}

ThreadSetters& thread_setters() {
    static ThreadSetters found = look_for_thread_setters();
    return found;
}

} // namespace

void ignore_signals_of_the_master() {
    for (const int number : signals_of_the_master)
        signal(number, SIG_IGN);
}

void prepare_process(pid_t launcher, const os::Fd& output, const os::Fd& errors) {
    if (!os::die_with_parent(launcher))
        _exit(1);
    heed_signals_again();
    connect_streams(output, errors);
    prefer_for_out_of_memory();
}

void keep_files_across_exec(const std::array<int, 4>& files) {
    syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
    for (const int file : files)
        fcntl(file, F_SETFD, 0);
}

void close_files_on_exec(const std::array<int, 4>& files) {
    for (const int file : files)
        fcntl(file, F_SETFD, FD_CLOEXEC);
}

void set_environment(const WorkerSettings& settings) {
    static std::vector<char*> entries; // the process's from here on
    entries.clear();
    for (const std::string& entry : settings.environment)
        entries.push_back(const_cast<char*>(entry.c_str()));
    entries.push_back(nullptr);
    environ = entries.data();
}

std::vector<std::string> fresh_environment(const WorkerSettings& settings,
                                           const Handover& handover) {
    std::map<std::string, std::string> values;
    for (const std::string& entry : settings.environment)
        if (const auto equals = entry.find('='); equals != std::string::npos)
            values[entry.substr(0, equals)] = entry.substr(equals + 1);
    if (!settings.threaded_blas)
        for (const char* name : thread_variables)
            values.emplace(name, "1");
    values[handover_variable] = handover.text();
    std::vector<std::string> environment;
    for (const auto& [name, value] : values)
        environment.push_back(name + "=" + value);
    return environment;
}

void enter_directory(const std::string& directory) {
    if (directory.empty() || chdir(directory.c_str()) == 0)
        return;
    std::perror(("dshm: cannot enter the directory '" + directory + "'").c_str());
    _exit(1);
}

void pin_to_processors(const WorkerSettings& settings, std::size_t number) {
    if (settings.processors.empty())
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int processor : settings.processors[number % settings.processors.size()])
        CPU_SET(static_cast<unsigned>(processor), &set);
    if (CPU_COUNT(&set) == 0 || sched_setaffinity(0, sizeof set, &set) == 0)
        return;
    std::perror("dshm: cannot pin a worker to its processors");
    _exit(1);
}

void find_threaded_libraries() { thread_setters() = look_for_thread_setters(); }

void limit_library_threads(bool threaded) {
    if (threaded)
        return;
    for (const char* name : thread_variables)
        setenv(name, "1", 0);
    for (const SetThreads set_threads : thread_setters())
        if (set_threads != nullptr)
            set_threads(1);
}

void limit_memory(std::uint64_t bytes, std::uint64_t segment) {
    if (bytes == 0)
        return;
    const rlimit limit{bytes + segment, bytes + segment};
    setrlimit(RLIMIT_AS, &limit);
}

} // namespace dshm::launch
