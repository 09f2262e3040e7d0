#include "dshm/launch/worker.hpp"

#include <poll.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <iostream>
#include <utility>

#include "dshm/launch/worker_setup.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/crash_note.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::launch {

namespace {

// A write to a pipe takes longer than this, so a task that was quicker and left nothing in buffers
// has printed nothing: no system call is needed to know. (A write takes 0.35 µs and more here, 0.2 µs
// where system calls are quick; the check itself takes 0.3 µs.)
constexpr std::uint64_t silent_task_nanoseconds = 180;

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

// Told to go: the only thing that an idle worker waits for.
class AskedToLeave final : public runtime::WaitFor {
public:
    explicit AskedToLeave(runtime::ProcessArea& area) : area_(&area) {}
    bool ready() override { return area_->exit_asked.load(std::memory_order_acquire) != 0; }
    bool is_loop() const override { return true; }

private:
    runtime::ProcessArea* area_;
};

// The program may have closed our files (close_range, closefrom) and have its own under their numbers:
// what is no file of any kind, as an event is not, is ours.
bool is_bell(int file) {
    struct stat info {};
    return fstat(file, &info) == 0 && (info.st_mode & S_IFMT) == 0;
}

// False when the bell has gone.
bool ring_launcher(int bell) {
    if (!is_bell(bell))
        return false;
    const std::uint64_t one = 1;
    while (::write(bell, &one, sizeof one) < 0 && errno == EINTR) {
    }
    return true;
}

// ---- children that tasks fork --------------------------------------------------------------------

shm::Segment* own_segment = nullptr;
std::array<int, 3> own_files{-1, -1, -1};

// What lies in buffers would be written by the child as well, if that calls exit.
void flush_before_fork() {
    try {
        std::cout.flush();
    } catch (...) {
        // A stream that throws on a failed flush: the fork is not its output's.
    }
    std::fflush(stdout);
}

// With our files it would keep the session's memory as long as it lives.
void leave_files_in_child() {
    if (own_segment != nullptr)
        std::exchange(own_segment, nullptr)->close_file();
    for (int& file : own_files)
        if (file >= 0)
            close(std::exchange(file, -1));
}

void prepare_for_children(const WorkerStart& start) {
    own_segment = start.segment;
    own_files = {start.launcher_bell, start.output_read, start.errors_read};
    pthread_atfork(flush_before_fork, nullptr, leave_files_in_child);
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
        if (!ring_launcher(bell_))
            return; // it is shown sooner or later
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

// The part that is the same for a forked and a fresh process, once its own preparation is over.
void become_worker(const WorkerStart& start) {
    os::set_process_title("dshm:worker " + std::to_string(start.id));
    limit_library_threads(start.settings->threaded_blas);
    limit_memory(start.settings->memory_limit, start.segment->mapping().size());
    start.segment->mapping().keep_out_of_children();
    // After what was printed so far: a fresh process may have printed before its Session.
    std::cout.flush();
    std::fflush(stdout);
    std::setvbuf(stdout, nullptr, _IOFBF, 1 << 16);
}

void prepare_fork(const WorkerStart& start) {
    ship::thaw_modules(); // unlike the launcher, this one opens libraries
    prepare_process(start.launcher, start.output, start.errors);
    close_files_except(std::array{start.segment->file(), start.launcher_bell, start.output_read,
                                  start.errors_read});
    set_environment(*start.settings);
    enter_directory(start.settings->directory);
    pin_to_processors(*start.settings, start.number);
}

void serve(const WorkerStart& start) {
    runtime::Process process(*start.segment, start.owner, start.id);
    process.scheduler().allow_setting_aside();
    runtime::note_crashes(process);
    runtime::report_stack_overflows();
    prepare_for_children(start);
    process.show_output = OutputFence(process, start);
    runtime::ProcessTable& table = process.processes();
    process.leave = [&] {
        table.set_life(start.owner.slot,
                       {runtime::LifePhase::exiting, start.owner.incarnation, start.id});
        table.announce_change();
        leave(0);
    };
    process.replays().make_all(); // if one fails, the worker does not start
    table.set_life(start.owner.slot,
                   {runtime::LifePhase::running, start.owner.incarnation, start.id});
    table.announce_change();
    process.replays().make_all(); // those kept meanwhile by callers that did not see us yet
    ring_launcher(start.launcher_bell);
    AskedToLeave asked(process.area());
    process.scheduler().wait(asked);
    process.leave();
}

// Nothing that is thrown leaves it: a worker that cannot go on says so and ends.
template <class Prepare>
[[noreturn]] void work(const WorkerStart& start, Prepare&& prepare) {
    try {
        prepare(start);
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

} // namespace

void run_worker(WorkerStart start) { work(start, prepare_fork); }

void run_prepared_worker(WorkerStart start) {
    work(start, [](const WorkerStart&) {});
}

} // namespace dshm::launch
