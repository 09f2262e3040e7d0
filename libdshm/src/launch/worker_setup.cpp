#include "dshm/launch/worker_setup.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>

#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

// Killed before the master when memory runs out, but after what the user made more eligible.
constexpr const char* out_of_memory_score = "200";

constexpr std::array thread_variables = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                         "MKL_NUM_THREADS"};

void connect_streams(const os::Fd& output, const os::Fd& errors) {
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(output.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
}

void prefer_for_out_of_memory() {
    if (std::FILE* score = std::fopen("/proc/self/oom_score_adj", "we")) {
        std::fputs(out_of_memory_score, score);
        std::fclose(score);
    }
}

} // namespace

void prepare_process(pid_t launcher, const os::Fd& output, const os::Fd& errors) {
    if (!os::die_with_parent(launcher))
        _exit(1);
    os::reset_signals_for_worker();
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
    clearenv();
    for (const std::string& entry : settings.environment)
        if (const auto equals = entry.find('='); equals != std::string::npos)
            setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
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

// Libraries that are loaded already read no environment any more: they are told.
void limit_library_threads(bool threaded) {
    if (threaded)
        return;
    for (const char* name : thread_variables)
        setenv(name, "1", 0);
    for (const char* setter : {"omp_set_num_threads", "openblas_set_num_threads"})
        if (void* function = dlsym(RTLD_DEFAULT, setter))
            reinterpret_cast<void (*)(int)>(function)(1);
}

void limit_memory(std::uint64_t bytes, std::uint64_t segment) {
    if (bytes == 0)
        return;
    const rlimit limit{bytes + segment, bytes + segment};
    setrlimit(RLIMIT_AS, &limit);
}

} // namespace dshm::launch
