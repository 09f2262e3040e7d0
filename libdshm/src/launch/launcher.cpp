#include "dshm/launch/launcher.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

#include "dshm/launch/launcher_loop.hpp"
#include "dshm/launch/worker_setup.hpp"
#include "dshm/os/backtrace.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/os/file_lock.hpp"
#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

using namespace std::chrono_literals;

// A worker that was asked to leave and is still computing gets SIGTERM after this, Julia's
// patience, and SIGKILL soon afterwards (launcher_leaving.cpp).
constexpr auto patience_before_term = 15s;
// How long the end of a session waits for a slow reader of the last output.
constexpr int last_output_milliseconds = 2000;

} // namespace

Launcher::Launcher(LauncherStart start)
    : segment_(start.segment), master_pidfd_(os::open_pidfd(start.master)),
      socket_(std::move(start.socket)), bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      joins_(open_join_signals()), tag_output_(start.tag_output),
      process_(*start.segment, {shm::launcher_slot, 1}, 0), recovery_(process_),
      output_(STDOUT_FILENO), errors_(STDERR_FILENO) {
    output_.share_with_bar(process_.header().bar_columns);
    errors_.share_with_bar(process_.header().bar_columns);
    os::lock_byte_for_process(segment_->file(), 0);
    if (!master_pidfd_ || getppid() != start.master) // it has ended already
        leave();
}

void Launcher::run() {
    try {
        for (;;)
            wait_for_events();
    } catch (const std::exception& error) {
        errors_.add(std::string("dshm: the launcher cannot go on: ") + error.what() + "\n");
    }
    kill_everybody();
    leave();
}

int Launcher::timeout_milliseconds() {
    using std::chrono::ceil;
    using std::chrono::milliseconds;
    auto next = os::Clock::time_point::max();
    if (joining_)
        next = joining_->until;
    for (const auto& [id, worker] : workers_)
        if (worker.asked_to_exit && worker.insisted < 2)
            next = std::min(next, worker.insist_at);
    for (const auto& [id, worker] : workers_)
        if (worker.is_coming)
            next = std::min(next, worker.come_until);
    if (recovery_.has_leftovers() || process_.holdings().pins_anything())
        next = std::min(next, os::Clock::now() + 100ms);
    if (next == os::Clock::time_point::max())
        return -1;
    return static_cast<int>(
        std::clamp<long>(ceil<milliseconds>(next - os::Clock::now()).count(), 0, 60'000));
}

// Three entries for each.
std::vector<WorkerId> Launcher::watch_workers(std::vector<pollfd>& entries) const {
    std::vector<WorkerId> ids;
    for (const auto& [id, worker] : workers_) {
        ids.push_back(id);
        entries.push_back({worker.pidfd.get(), POLLIN, 0});
        entries.push_back({output_.congested() ? -1 : worker.output->file(), POLLIN, 0});
        entries.push_back({errors_.congested() ? -1 : worker.errors->file(), POLLIN, 0});
    }
    return ids;
}

void Launcher::wait_for_events() {
    std::vector<pollfd> entries{{socket_.get(), POLLIN, 0},
                                {master_pidfd_.get(), POLLIN, 0},
                                {bell_.get(), POLLIN, 0},
                                {output_.pending() ? output_.file() : -1, POLLOUT, 0},
                                {errors_.pending() ? errors_.file() : -1, POLLOUT, 0}};
    const std::size_t first_worker = entries.size();
    const std::vector<WorkerId> ids = watch_workers(entries);
    const auto first_client = static_cast<std::ptrdiff_t>(entries.size());
    watch_clients(entries);
    if (poll(entries.data(), entries.size(), timeout_milliseconds()) < 0)
        return;
    if (entries[1].revents != 0) {
        kill_everybody();
        leave();
    }
    if (entries[2].revents != 0)
        hear_bell();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const pollfd* entry = &entries[first_worker + 3 * i];
        if (entry[1].revents != 0 || entry[2].revents != 0)
            relay(workers_.at(ids[i]));
        if (entry[0].revents != 0)
            reap(ids[i]);
    }
    if (std::any_of(entries.begin() + first_client, entries.end(),
                    [](const pollfd& entry) { return entry.revents != 0; }))
        look_at_clients();
    pump_output();
    finish_joining();
    welcome_replacements();
    insist();
    recovery_.retry();
    if (entries[0].revents != 0)
        hear_requests();
}

// What has come of them: the master may have been stopped in the middle of writing one.
void Launcher::hear_requests() {
    const bool open = requests_.read_available(socket_.get());
    while (const auto request = requests_.next())
        handle(*request);
    if (!open)
        stop(0);
}

// Workers ring when they take tasks, and when they ask for their output; the table says which.
void Launcher::hear_bell() {
    std::uint64_t rings;
    static_cast<void>(!::read(bell_.get(), &rings, sizeof rings));
}

void Launcher::handle(const Request& request) {
    if (request.add)
        add_workers(*request.add);
    if (request.remove) {
        for (const int id : request.remove->ids)
            if (const auto worker = workers_.find(id); worker != workers_.end())
                ask_to_exit(worker->second, patience_before_term);
        leaving_.push_back(*request.remove);
        finish_leaving();
    }
    if (request.stop)
        stop(request.stop->grace_milliseconds);
}

void Launcher::stop(std::uint64_t grace_milliseconds) {
    const auto until = os::Clock::now() + std::chrono::milliseconds(grace_milliseconds);
    socket_.reset();
    for (auto& [id, worker] : workers_)
        ask_to_exit(worker, std::chrono::milliseconds(grace_milliseconds) + 1s);
    while (!workers_.empty() && os::Clock::now() < until) {
        std::vector<pollfd> entries{{master_pidfd_.get(), POLLIN, 0}, {bell_.get(), POLLIN, 0}};
        std::vector<WorkerId> ids;
        for (const auto& [id, worker] : workers_) {
            ids.push_back(id);
            entries.push_back({worker.pidfd.get(), POLLIN, 0});
            entries.push_back({worker.output->file(), POLLIN, 0});
            entries.push_back({worker.errors->file(), POLLIN, 0});
        }
        poll(entries.data(), entries.size(), 100);
        if (entries[1].revents != 0)
            hear_bell();
        if (entries[0].revents != 0)
            break;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            relay(workers_.at(ids[i]));
            if (entries[2 + 3 * i].revents != 0)
                reap(ids[i]);
        }
        look_at_clients();
        pump_output();
    }
    kill_everybody();
    leave();
}

void Launcher::kill_everybody() {
    for (auto& [id, worker] : workers_) {
        kill(worker.os_pid, SIGKILL);
        while (waitpid(worker.os_pid, nullptr, 0) < 0 && errno == EINTR) {
        }
        relay_last(worker);
    }
}

void Launcher::leave() {
    output_.flush_all(last_output_milliseconds);
    tell_lost_output();
    errors_.flush_all(last_output_milliseconds);
    close_session();
    segment_->unlink();
    _exit(0);
}

namespace {

// With its workers, in a group of their own.
void leave_the_foreground() {
    setpgid(0, 0);
    ignore_signals_of_the_master();
}

void close_what_is_not_ours(const LauncherStart& start) {
    const int segment = start.segment->file();
    const int socket = start.socket.get();
    const unsigned low = static_cast<unsigned>(std::min(segment, socket));
    const unsigned high = static_cast<unsigned>(std::max(segment, socket));
    const auto close_between = [](unsigned first, unsigned last) {
        if (first <= last)
            syscall(SYS_close_range, first, last, 0);
    };
    close_between(3, low - 1);
    close_between(low + 1, high - 1);
    close_between(high + 1, ~0u);
    const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
    dup2(nothing, STDIN_FILENO);
    close(nothing);
}

} // namespace

void run_launcher(LauncherStart start) {
    try {
        os::reset_signals_for_worker(); // its forks have the program's handlers of faults
        leave_the_foreground();
        ship::freeze_modules(std::move(start.modules));
        os::Backtrace::prepare(); // once for all who are forked from here
        os::ticks_per_microsecond();
        close_what_is_not_ours(start);
        os::set_process_title("dshm:launcher");
        Launcher(std::move(start)).run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dshm: the launcher cannot go on: %s\n", error.what());
    }
    _exit(1);
}

} // namespace dshm::launch
