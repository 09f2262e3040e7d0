#include "dshm/launch/worker.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio_ext.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>

#include "dshm/os/clock.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::launch {

namespace {

// A write to a pipe takes longer than this, so a task that was quicker and left nothing in buffers
// has printed nothing: no system call is needed to know. (A write takes 0.35 µs and more here, 0.2 µs
// where system calls are quick; the check itself takes 0.3 µs.)
constexpr std::uint64_t silent_task_nanoseconds = 180;
// Killed before the master when memory runs out, but after what the user made more eligible.
constexpr const char* out_of_memory_score = "200";

[[noreturn]] void leave(int status) {
    std::cout.flush();
    std::fflush(nullptr);
    _exit(status);
}

// Closes everything above the standard streams but these.
template <std::size_t N>
void close_files_except(std::array<int, N> kept) {
    std::sort(kept.begin(), kept.end());
    unsigned next = 3;
    for (const int file : kept) {
        if (next < static_cast<unsigned>(file))
            syscall(SYS_close_range, next, static_cast<unsigned>(file) - 1, 0);
        next = static_cast<unsigned>(file) + 1;
    }
    syscall(SYS_close_range, next, ~0u, 0);
}

void connect_streams(const os::Fd& output, const os::Fd& errors) {
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    dup2(output.get(), STDOUT_FILENO);
    dup2(errors.get(), STDERR_FILENO);
    std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
}

void set_environment(const WorkerSettings& settings) {
    clearenv();
    for (const std::string& entry : settings.environment)
        if (const auto equals = entry.find('='); equals != std::string::npos)
            setenv(entry.substr(0, equals).c_str(), entry.c_str() + equals + 1, 1);
    if (!settings.directory.empty() && chdir(settings.directory.c_str()) != 0) {
        std::perror(("dshm: cannot enter the directory '" + settings.directory + "'").c_str());
        _exit(1);
    }
}

// Libraries that are loaded already read no environment any more: they are told.
void limit_library_threads(bool threaded) {
    if (threaded)
        return;
    for (const char* name : {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"})
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

void pin_to(const std::vector<int>& processors) {
    if (processors.empty())
        return;
    cpu_set_t set;
    CPU_ZERO(&set);
    for (const int processor : processors)
        CPU_SET(static_cast<unsigned>(processor), &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) {
        std::perror("dshm: cannot pin a worker to its processors");
        _exit(1);
    }
}

void prefer_for_out_of_memory() {
    if (std::FILE* score = std::fopen("/proc/self/oom_score_adj", "we")) {
        std::fputs(out_of_memory_score, score);
        std::fclose(score);
    }
}

// Told to go: the only thing that an idle worker waits for.
class AskedToLeave final : public runtime::WaitFor {
public:
    explicit AskedToLeave(runtime::ProcessArea& area) : area_(&area) {}
    bool ready() override { return area_->exit_asked.load(std::memory_order_acquire) != 0; }

private:
    runtime::ProcessArea* area_;
};

void ring_launcher(int bell) {
    const std::uint64_t one = 1;
    while (::write(bell, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

// What a task printed is shown before its result: flushes, and if anything went into the pipes
// waits until the launcher has written it out.
class OutputFence {
public:
    OutputFence(runtime::Process& process, const WorkerStart& start)
        : process_(&process),
          bell_(start.launcher_bell), read_ends_{{{start.output_read, POLLIN, 0},
                                                  {start.errors_read, POLLIN, 0}}} {}

    void operator()() {
        const bool buffered = __fpending(stdout) != 0 || __fpending(stderr) != 0;
        const bool untied = std::cout.rdbuf() != tied_buffer_;
        if (!buffered && !untied && quick())
            return;
        std::cout.flush();
        std::fflush(stdout);
        std::fflush(stderr);
        if (something_under_way())
            wait_until_shown();
        last_ = os::ticks();
    }

private:
    bool quick() {
        const std::uint64_t now = os::ticks();
        const std::uint64_t since = now - std::max(last_, runtime::task_start_tick());
        last_ = now;
        return since * 1000 < silent_task_nanoseconds * os::ticks_per_microsecond();
    }
    // Bytes that nobody has read yet, or that the launcher has read and not written out: it says so
    // before it reads.
    bool something_under_way() {
        return poll(read_ends_.data(), read_ends_.size(), 0) > 0 ||
               process_->area().output_busy.load(std::memory_order_seq_cst) != 0;
    }
    void wait_until_shown() {
        runtime::ProcessArea& area = process_->area();
        // release, edge `output-asked`: the bytes are in the pipe.
        area.output_asked.store(++asked_, std::memory_order_release);
        ring_launcher(bell_);
        const auto shown = [&] {
            return area.output_shown.load(std::memory_order_acquire) >= asked_;
        };
        while (!shown())
            area.bell.wait(shown);
    }

    runtime::Process* process_;
    int bell_;
    std::array<pollfd, 2> read_ends_;
    const std::streambuf* tied_buffer_ =
        std::cout.rdbuf(); // unless sync_with_stdio(false) changes it
    std::uint64_t last_ = 0;
    std::uint64_t asked_ = 0;
};

void become_worker(const WorkerStart& start) {
    if (!os::die_with_parent(start.launcher))
        _exit(1);
    os::reset_signals();
    connect_streams(start.output, start.errors);
    close_files_except(std::array{start.segment->file(), start.launcher_bell, start.output_read,
                                  start.errors_read});
    os::set_process_title("dshm:worker " + std::to_string(start.id));
    set_environment(*start.settings);
    limit_library_threads(start.settings->threaded_blas);
    const auto& processors = start.settings->processors;
    if (!processors.empty())
        pin_to(processors[start.number % processors.size()]);
    prefer_for_out_of_memory();
    limit_memory(start.settings->memory_limit, start.segment->mapping().size());
    start.segment->mapping().keep_out_of_children();
}

void serve(const WorkerStart& start) {
    runtime::Process process(*start.segment, start.owner, start.id);
    process.show_output = OutputFence(process, start);
    runtime::ProcessTable& table = process.processes();
    table.set_life(start.owner.slot,
                   {runtime::LifePhase::running, start.owner.incarnation, start.id});
    table.announce_change();
    ring_launcher(start.launcher_bell);
    AskedToLeave asked(process.area());
    process.scheduler().wait(asked);
    table.set_life(start.owner.slot,
                   {runtime::LifePhase::exiting, start.owner.incarnation, start.id});
    table.announce_change();
}

} // namespace

void run_worker(WorkerStart start) {
    try {
        become_worker(start);
        serve(start);
        leave(0);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dshm: worker %d cannot go on: %s\n", start.id, error.what());
    } catch (...) {
        std::fprintf(stderr, "dshm: worker %d cannot go on\n", start.id);
    }
    leave(1);
}

} // namespace dshm::launch
