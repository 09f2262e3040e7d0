#include "dshm/launch/worker.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio_ext.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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

// A write to a pipe takes longer than this, so a task that was quicker and left nothing in its
// buffers has printed nothing: no system call is needed to know. (A write with nobody to wake: 0.5
// µs and more; the check itself 0.4 µs.)
constexpr std::uint64_t silent_task_nanoseconds = 1500;
// Killed before the master when memory runs out, but after what the user made more eligible.
constexpr const char* out_of_memory_score = "200";

[[noreturn]] void leave(int status) {
    std::cout.flush();
    std::fflush(nullptr);
    _exit(status);
}

void close_files_except(int segment, int bell) {
    const unsigned low = static_cast<unsigned>(std::min(segment, bell));
    const unsigned high = static_cast<unsigned>(std::max(segment, bell));
    const auto close_between = [](unsigned first, unsigned last) {
        if (first <= last)
            syscall(SYS_close_range, first, last, 0);
    };
    close_between(3, low - 1);
    close_between(low + 1, high - 1);
    close_between(high + 1, ~0u);
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
    OutputFence(runtime::Process& process, int launcher_bell)
        : process_(&process), bell_(launcher_bell) {}

    void operator()() {
        const bool buffered = __fpending(stdout) != 0 || __fpending(stderr) != 0;
        if (!buffered && quick())
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
        const std::uint64_t since = now - std::max(last_, runtime::last_idle_tick());
        last_ = now;
        return since * 1000 < silent_task_nanoseconds * os::ticks_per_microsecond();
    }
    // Bytes that nobody has read yet (Linux answers for the write end of a pipe, too), or that the
    // launcher has read and not written out: it says so before it reads.
    bool something_under_way() const {
        for (const int file : {STDOUT_FILENO, STDERR_FILENO})
            if (int bytes = 0; ioctl(file, FIONREAD, &bytes) == 0 && bytes > 0)
                return true;
        return process_->area().output_busy.load(std::memory_order_seq_cst) != 0;
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
    std::uint64_t last_ = 0;
    std::uint64_t asked_ = 0;
};

void become_worker(const WorkerStart& start) {
    if (!os::die_with_parent(start.launcher))
        _exit(1);
    os::reset_signals();
    connect_streams(start.output, start.errors);
    close_files_except(start.segment->file(), start.launcher_bell);
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
    process.show_output = OutputFence(process, start.launcher_bell);
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
