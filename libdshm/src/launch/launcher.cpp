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
#include <cstring>
#include <map>

#include "dshm/launch/requests.hpp"
#include "dshm/launch/worker.hpp"
#include "dshm/launch/worker_record.hpp"
#include "dshm/os/file_lock.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/recovery.hpp"

namespace dshm::launch {

namespace {

using namespace std::chrono_literals;
using runtime::LifePhase;

// A worker that was asked to leave and is still computing gets SIGTERM after the first, SIGKILL
// after the second: Julia's patience for the first, a short one for the second.
constexpr auto patience_before_term = 15s;
constexpr auto patience_before_kill = 2s;
// How long the end of a session waits for a slow reader of the last output.
constexpr int last_output_milliseconds = 2000;

struct Joining {
    std::vector<int> ids;
    os::Clock::time_point until;
};

class Launcher {
public:
    explicit Launcher(LauncherStart start);
    [[noreturn]] void run();

private:
    void wait_for_events();
    int timeout_milliseconds();
    void hear_bell();
    void handle(const Request& request);
    void add_workers(const AddWorkers& request);
    void fork_worker(const AddWorkers& request, std::size_t number);
    unsigned free_slot() const;
    void prepare_area(unsigned slot, runtime::Life life);
    void finish_joining();
    void give_up_joining(const std::string& why);
    void finish_leaving();
    void ask_to_exit(WorkerRecord& worker, os::Clock::duration patience);
    void insist();
    void reap(WorkerId id);
    void write_obituary(const WorkerRecord& worker, int status);
    void announce_death(const WorkerRecord& worker, int status);
    void retire_counters(const WorkerRecord& worker);
    void relay(WorkerRecord& worker);
    void settle_output(WorkerRecord& worker);
    void pump_output();
    void stop(std::uint64_t grace_milliseconds);
    void kill_everybody();
    [[noreturn]] void leave();

    shm::Segment* segment_;
    os::Fd master_pidfd_;
    os::Fd socket_;
    os::Fd bell_;
    bool tag_output_;
    runtime::Process process_;
    runtime::Recovery recovery_;
    OutputSink output_{STDOUT_FILENO};
    OutputSink errors_{STDERR_FILENO};
    bool told_closed_output_ = false;
    std::map<WorkerId, WorkerRecord> workers_;
    WorkerId next_id_ = 2;
    std::optional<Joining> joining_;
    std::vector<RemoveWorkers> leaving_;
};

Launcher::Launcher(LauncherStart start)
    : segment_(start.segment), master_pidfd_(os::open_pidfd(start.master)),
      socket_(std::move(start.socket)), bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      tag_output_(start.tag_output), process_(*start.segment, {shm::launcher_slot, 1}, 0),
      recovery_(process_) {
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

// ---- the loop ----------------------------------------------------------------------------------

int Launcher::timeout_milliseconds() {
    using std::chrono::ceil;
    using std::chrono::milliseconds;
    auto next = os::Clock::time_point::max();
    if (joining_)
        next = joining_->until;
    for (const auto& [id, worker] : workers_)
        if (worker.asked_to_exit && worker.insisted < 2)
            next = std::min(next, worker.insist_at);
    if (recovery_.has_leftovers() || process_.holdings().pins_anything())
        next = std::min(next, os::Clock::now() + 100ms);
    if (next == os::Clock::time_point::max())
        return -1;
    return static_cast<int>(
        std::clamp<long>(ceil<milliseconds>(next - os::Clock::now()).count(), 0, 60'000));
}

void Launcher::wait_for_events() {
    std::vector<pollfd> entries{{socket_.get(), POLLIN, 0},
                                {master_pidfd_.get(), POLLIN, 0},
                                {bell_.get(), POLLIN, 0},
                                {output_.pending() ? output_.file() : -1, POLLOUT, 0},
                                {errors_.pending() ? errors_.file() : -1, POLLOUT, 0}};
    std::vector<WorkerId> ids;
    for (const auto& [id, worker] : workers_) {
        ids.push_back(id);
        entries.push_back({worker.pidfd.get(), POLLIN, 0});
        entries.push_back({output_.congested() ? -1 : worker.output->file(), POLLIN, 0});
        entries.push_back({errors_.congested() ? -1 : worker.errors->file(), POLLIN, 0});
    }
    if (poll(entries.data(), entries.size(), timeout_milliseconds()) < 0)
        return;
    if (entries[1].revents != 0) {
        kill_everybody();
        leave();
    }
    if (entries[2].revents != 0)
        hear_bell();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        const pollfd* entry = &entries[5 + 3 * i];
        if (entry[1].revents != 0 || entry[2].revents != 0)
            relay(workers_.at(ids[i]));
        if (entry[0].revents != 0)
            reap(ids[i]);
    }
    pump_output();
    finish_joining();
    insist();
    recovery_.retry();
    if (entries[0].revents != 0) {
        if (const auto request = receive_request(socket_.get()))
            handle(*request);
        else
            stop(0);
    }
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

// ---- starting workers --------------------------------------------------------------------------

void Launcher::add_workers(const AddWorkers& request) {
    joining_ = Joining{
        {}, os::Clock::now() + std::chrono::milliseconds(request.settings.timeout_milliseconds)};
    try {
        for (int i = 0; i < request.count; ++i)
            fork_worker(request, static_cast<std::size_t>(i));
    } catch (const std::exception& error) {
        give_up_joining(error.what());
    }
    finish_joining();
}

unsigned Launcher::free_slot() const {
    for (unsigned slot = shm::first_worker_slot; slot < shm::max_processes; ++slot) {
        const bool taken = std::any_of(workers_.begin(), workers_.end(), [slot](const auto& entry) {
            return entry.second.owner.slot == slot;
        });
        if (!taken)
            return slot;
    }
    throw std::runtime_error("a session has room for " + std::to_string(shm::max_workers) +
                             " workers, and they are all there");
}

void Launcher::prepare_area(unsigned slot, runtime::Life life) {
    runtime::ProcessTable& table = process_.processes();
    table.back_area(slot);
    runtime::ProcessArea& area = table.area(slot);
    // relaxed: published by the life word (edge `life`).
    area.exit_asked.store(0, std::memory_order_relaxed);
    area.output_asked.store(0, std::memory_order_relaxed);
    area.output_shown.store(0, std::memory_order_relaxed);
    area.output_busy.store(0, std::memory_order_relaxed);
    area.current_function.store(0, std::memory_order_relaxed);
    table.set_life(slot, life);
}

os::Fd pipe_end(int (&ends)[2], int which) { return os::Fd(ends[which]); }

void Launcher::fork_worker(const AddWorkers& request, std::size_t number) {
    const unsigned slot = free_slot();
    process_.processes().back_area(slot);
    const auto last = process_.processes().life(slot).incarnation;
    const auto incarnation = static_cast<std::uint16_t>(last == 0xffff ? 1 : last + 1); // never 0
    const WorkerId id = next_id_++;
    int out[2], err[2];
    if (pipe2(out, O_CLOEXEC) != 0)
        throw std::runtime_error(std::string("cannot make a pipe: ") + std::strerror(errno));
    os::Fd out_read = pipe_end(out, 0), out_write = pipe_end(out, 1);
    if (pipe2(err, O_CLOEXEC) != 0)
        throw std::runtime_error(std::string("cannot make a pipe: ") + std::strerror(errno));
    os::Fd err_read = pipe_end(err, 0), err_write = pipe_end(err, 1);
    const pid_t launcher = getpid();
    prepare_area(slot, {LifePhase::starting, incarnation, id});
    const pid_t child = fork();
    if (child < 0) {
        process_.processes().set_life(slot, {LifePhase::dead, incarnation, id});
        throw std::runtime_error(std::string("cannot fork a worker: ") + std::strerror(errno));
    }
    const shm::Owner owner{static_cast<std::uint8_t>(slot), incarnation};
    if (child == 0)
        run_worker({segment_, owner, id, launcher, bell_.get(), std::move(out_write),
                    std::move(err_write), out_read.get(), err_read.get(), &request.settings,
                    number});
    fcntl(out_read.get(), F_SETFL, O_NONBLOCK);
    fcntl(err_read.get(), F_SETFL, O_NONBLOCK);
    const std::string prefix =
        tag_output_ ? "      From worker " + std::to_string(id) + ":\t" : std::string();
    WorkerRecord worker;
    worker.id = id;
    worker.owner = owner;
    worker.os_pid = child;
    worker.pidfd = os::open_pidfd(child);
    if (!worker.pidfd) { // its death would never be seen
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        throw std::runtime_error(std::string("cannot watch a worker: ") + std::strerror(errno));
    }
    worker.output = std::make_unique<LineRelay>(std::move(out_read), output_, prefix);
    worker.errors = std::make_unique<LineRelay>(std::move(err_read), errors_, prefix);
    // relaxed: published by the reply, and by the worker's own announcement.
    process_.processes().area(slot).os_pid.store(static_cast<std::uint32_t>(child),
                                                 std::memory_order_relaxed);
    workers_.emplace(id, std::move(worker));
    joining_->ids.push_back(id);
}

// Answers once every worker of the request takes tasks, or one of them never will.
void Launcher::finish_joining() {
    if (!joining_)
        return;
    for (const WorkerId id : joining_->ids) {
        const auto worker = workers_.find(id);
        if (worker == workers_.end())
            return give_up_joining("worker " + std::to_string(id) + " " +
                                   runtime::exit_reason(process_.processes().obituary(id)));
        if (process_.processes().life(worker->second.owner.slot).phase != LifePhase::running) {
            if (os::Clock::now() >= joining_->until)
                give_up_joining("timed out waiting for worker " + std::to_string(id));
            return;
        }
    }
    // A worker says that it is running before it announces it: the master must not be told in between.
    process_.processes().announce_change();
    send_reply(socket_.get(), {joining_->ids, ""});
    joining_.reset();
}

void Launcher::give_up_joining(const std::string& why) {
    std::string printed;
    for (const WorkerId id : joining_->ids)
        if (const auto worker = workers_.find(id); worker != workers_.end()) {
            printed += worker->second.errors->tail();
            worker->second.asked_to_exit = true;
            worker->second.insisted = 2;
            kill(worker->second.os_pid, SIGKILL);
        }
    joining_.reset();
    send_reply(socket_.get(), {{}, why + (printed.empty() ? "" : "; it printed: " + printed)});
}

// Puts the futures of removals whose workers are all gone.
void Launcher::finish_leaving() {
    std::erase_if(leaving_, [this](const RemoveWorkers& removal) {
        for (const WorkerId id : removal.ids)
            if (workers_.contains(id))
                return false;
        const runtime::TaskRef gone{removal.future_index, removal.future_generation};
        if (process_.tasks().claim_open(gone))
            runtime::complete_task(process_, gone,
                                   [](runtime::Execution& result) { result.give_nothing(); });
        return true;
    });
}

// ---- ending workers ----------------------------------------------------------------------------

void Launcher::ask_to_exit(WorkerRecord& worker, os::Clock::duration patience) {
    if (worker.asked_to_exit)
        return;
    worker.asked_to_exit = true;
    worker.insist_at = os::Clock::now() + patience;
    runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    area.exit_asked.store(1, std::memory_order_seq_cst); // edge `park`
    area.bell.ring_always();
}

void Launcher::insist() {
    for (auto& [id, worker] : workers_) {
        if (!worker.asked_to_exit || worker.insisted >= 2 || os::Clock::now() < worker.insist_at)
            continue;
        kill(worker.os_pid, worker.insisted == 0 ? SIGTERM : SIGKILL);
        ++worker.insisted;
        worker.insist_at = os::Clock::now() + patience_before_kill;
    }
}

void Launcher::reap(WorkerId id) {
    WorkerRecord& worker = workers_.at(id);
    int status = 0;
    if (waitpid(worker.os_pid, &status, WNOHANG) != worker.os_pid)
        return;
    relay(worker);
    worker.output->end_line();
    worker.errors->end_line();
    output_.flush();
    errors_.flush();
    write_obituary(worker, status);
    announce_death(worker, status);
    process_.processes().set_life(worker.owner.slot,
                                  {LifePhase::dead, worker.owner.incarnation, worker.id});
    process_.processes().announce_change(); // before anybody is woken by what recovery ends
    retire_counters(worker);
    recovery_.bury({worker.owner, worker.id, static_cast<int>(worker.os_pid), status});
    workers_.erase(id);
    finish_leaving();
}

void Launcher::write_obituary(const WorkerRecord& worker, int status) {
    runtime::Obituary& obituary = process_.processes().obituary(worker.id);
    runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    obituary.key.store(0, std::memory_order_release);
    obituary.wait_status = status;
    obituary.os_pid = static_cast<std::int32_t>(worker.os_pid);
    obituary.function =
        area.current_function.load(std::memory_order_relaxed); // relaxed: its writer is dead
    obituary.tasks_done = runtime::CounterRow(area).get(runtime::Count::done);
    obituary.asked_to_exit = worker.asked_to_exit ? 1 : 0;
    // release, edge `obituary`.
    obituary.key.store(static_cast<std::uint64_t>(worker.id), std::memory_order_release);
}

void Launcher::announce_death(const WorkerRecord& worker, int status) {
    if (worker.asked_to_exit)
        return;
    const std::uint64_t function = process_.processes().obituary(worker.id).function;
    const runtime::Operation* operation =
        function == 0 ? nullptr : runtime::find_operation(function);
    std::string text = "dshm: worker " + std::to_string(worker.id) + " (process " +
                       std::to_string(worker.os_pid) +
                       ") ended: " + os::describe_wait_status(status);
    if (operation != nullptr)
        text += " while running " + std::string(operation->name);
    errors_.add(text + "\n");
    errors_.flush();
}

// Counters of the dead stay in the sums: they move to the launcher's own row.
void Launcher::retire_counters(const WorkerRecord& worker) {
    auto& counts = process_.processes().area(worker.owner.slot).counts;
    for (unsigned i = 0; i < counts.size(); ++i) {
        process_.counters().add(
            static_cast<runtime::Count>(i),
            counts[i].load(std::memory_order_relaxed)); // relaxed: its writer is dead
        counts[i].store(0, std::memory_order_relaxed);
    }
}

// ---- output ------------------------------------------------------------------------------------

void Launcher::relay(WorkerRecord& worker) {
    runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    // seq_cst, edge `output-busy`: said before the pipe is emptied, so that a worker that finds it
    // empty sees this.
    area.output_busy.store(1, std::memory_order_seq_cst);
    worker.output->read_available();
    worker.errors->read_available();
}

// A worker's question whether its output is shown: notes how far the sinks must get, and answers
// when they have.
void Launcher::settle_output(WorkerRecord& worker) {
    runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    const std::uint64_t asked =
        area.output_asked.load(std::memory_order_acquire); // edge `output-asked`
    if (asked > worker.fence) {
        relay(worker);
        worker.output->end_line();
        worker.errors->end_line();
        worker.fence = asked;
        worker.fence_output = output_.added();
        worker.fence_errors = errors_.added();
        output_.flush();
        errors_.flush();
    }
    const bool partial = worker.output->partial() || worker.errors->partial();
    if (!partial && !output_.pending() && !errors_.pending())
        area.output_busy.store(0, std::memory_order_release);
    if (area.output_shown.load(std::memory_order_relaxed) <
            worker.fence && // relaxed: we alone write it
        output_.written() >= worker.fence_output &&
        errors_.written() >= worker.fence_errors) {
        area.output_shown.store(worker.fence, std::memory_order_seq_cst); // edge `park`
        area.bell.ring();
    }
}

void Launcher::pump_output() {
    output_.flush();
    errors_.flush();
    for (auto& [id, worker] : workers_)
        settle_output(worker);
    // The reader of our output has gone (`| head -1`): the program is told as if it had written itself.
    if (output_.closed() && !told_closed_output_) {
        told_closed_output_ = true;
        syscall(SYS_pidfd_send_signal, master_pidfd_.get(), SIGPIPE, nullptr, 0);
    }
}

// ---- the end -----------------------------------------------------------------------------------

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
        relay(worker);
        worker.output->end_line();
        worker.errors->end_line();
    }
}

void Launcher::leave() {
    output_.flush_all(last_output_milliseconds);
    errors_.flush_all(last_output_milliseconds);
    segment_->unlink();
    _exit(0);
}

// Ctrl-C and its like reach the whole foreground group; the launcher and its workers live in a
// group of their own and end with the master, which is the one that is meant.
void leave_the_foreground() {
    setpgid(0, 0);
    for (const int number : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGPIPE, SIGTTOU, SIGTSTP, SIGXFSZ})
        signal(number, SIG_IGN);
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
        os::reset_signals();
        leave_the_foreground();
        close_what_is_not_ours(start);
        os::set_process_title("dshm:launcher");
        Launcher(std::move(start)).run();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dshm: the launcher cannot go on: %s\n", error.what());
    }
    _exit(1);
}

} // namespace dshm::launch
