#include "dshm/processes.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <stdexcept>

#include "dshm/errors.hpp"
#include "dshm/everywhere.hpp"
#include "dshm/launch/session_state.hpp"
#include "dshm/launch/worker_command.hpp"
#include "dshm/os/cpu.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/last_words.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/spawn.hpp"
#include "dshm/worker_pool.hpp"
#include "session_defaults.hpp"

extern char** environ;

namespace dshm {

namespace {

launch::SessionState& master_state(const char* call) {
    runtime::current().require_member(call); // or says how to make a session
    launch::SessionState* state = launch::current_session_state();
    if (state == nullptr)
        throw std::logic_error("dshm: only process 1 can add and remove workers; " +
                               std::string(call) + " was called on worker " +
                               std::to_string(myid()));
    return *state;
}

Start start_of(const AddprocsOptions& options) {
    return options.start.value_or(session_defaults().start);
}

// The kernel takes texts that end with a zero byte.
void check_texts(const AddprocsOptions& options) {
    std::vector<std::string_view> texts{options.dir, options.exename};
    texts.insert(texts.end(), options.exeflags.begin(), options.exeflags.end());
    for (const auto& [name, value] : options.env)
        texts.insert(texts.end(), {name, value});
    for (const std::string_view text : texts)
        if (text.find('\0') != std::string_view::npos)
            throw std::invalid_argument("dshm: addprocs: a zero byte in '" +
                                        std::string(text.data()) + "...'");
}

void check(int n, const AddprocsOptions& options) {
    // One more slot where workers are replaced: the new one is there before the old one has gone.
    runtime::Process& process = runtime::current();
    const std::size_t taken = process.worker_count() + (process.restarts_workers() ? 1 : 0);
    const std::size_t room = shm::max_workers - std::min<std::size_t>(taken, shm::max_workers);
    if (n < 0 || static_cast<std::size_t>(n) > room)
        throw std::invalid_argument("dshm: addprocs(" + std::to_string(n) +
                                    "): give a number from 0 to " + std::to_string(room) +
                                    ", the workers there is room for");
    if (start_of(options) == Start::fork && (!options.exename.empty() || !options.exeflags.empty()))
        throw std::invalid_argument("dshm: addprocs: exename and exeflags are for fresh processes; "
                                    "add start = Start::exec");
    check_texts(options);
    if (!options.dir.empty() && !std::filesystem::is_directory(options.dir))
        throw std::invalid_argument("dshm: addprocs: there is no directory '" + options.dir + "'");
    for (const auto& [name, value] : options.env)
        if (name.empty() || name.find('=') != std::string::npos)
            throw std::invalid_argument("dshm: addprocs: '" + name +
                                        "' is not the name of an environment variable");
    if (options.timeout <= std::chrono::milliseconds(0))
        throw std::invalid_argument("dshm: addprocs: the timeout must be positive");
}

std::vector<std::string>
environment_with(const std::vector<std::pair<std::string, std::string>>& added) {
    std::vector<std::string> result;
    for (char** entry = environ; *entry != nullptr; ++entry)
        result.emplace_back(*entry);
    for (const auto& [name, value] : added) {
        const std::string start = name + "=";
        std::erase_if(result, [&](const std::string& entry) { return entry.starts_with(start); });
        result.push_back(start + value);
    }
    return result;
}

launch::WorkerSettings settings_for(int n, const AddprocsOptions& options) {
    launch::WorkerSettings settings;
    settings.environment = environment_with(options.env);
    std::error_code none;
    settings.directory = options.dir.empty()
                             ? std::filesystem::current_path(none).string()
                             : std::filesystem::absolute(options.dir, none).string();
    settings.processors = options.affinity.value_or(session_defaults().affinity).of_workers(n);
    settings.threaded_blas = options.enable_threaded_blas;
    settings.memory_limit = options.memory_limit;
    settings.timeout_milliseconds = static_cast<std::uint64_t>(options.timeout.count());
    settings.fresh = start_of(options) == Start::exec;
    if (settings.fresh) {
        launch::Command command =
            launch::worker_command(options.exename, options.exeflags, session_defaults().arguments);
        settings.program = std::move(command.program);
        settings.arguments = std::move(command.arguments);
    }
    return settings;
}

std::vector<WorkerId> live_among(runtime::Process& process, const std::vector<WorkerId>& ids) {
    std::vector<WorkerId> live;
    for (const WorkerId id : ids) {
        if (id == 1)
            std::fputs("dshm: rmprocs: process 1 not removed\n", stderr);
        else if (process.processes().slot_of(id))
            live.push_back(id);
    }
    return live;
}

[[noreturn]] void throw_left(runtime::Process& process, const std::vector<WorkerId>& ids,
                             std::chrono::milliseconds after) {
    std::string text;
    for (const WorkerId id : ids)
        if (process.processes().slot_of(id))
            text += (text.empty() ? "" : ", ") + std::to_string(id);
    throw std::runtime_error("dshm: rmprocs: workers " + text + " have not ended after " +
                             std::to_string(after.count()) +
                             " ms; they will when they have done what they are doing");
}

WorkerState state_of(const runtime::Life& life, std::uint32_t os_pid) {
    switch (life.phase) {
    case runtime::LifePhase::starting:
        return WorkerState::starting;
    case runtime::LifePhase::exiting:
        return WorkerState::exiting;
    case runtime::LifePhase::running:
        return os::is_stopped(static_cast<pid_t>(os_pid)) ? WorkerState::stopped
                                                          : WorkerState::running;
    default:
        return WorkerState::exited;
    }
}

std::string host_name() {
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    return name;
}

WorkerInfo info_of_live(runtime::Process& process, WorkerId id, unsigned slot) {
    runtime::ProcessArea& area = process.processes().area(slot);
    WorkerInfo info;
    info.id = id;
    // relaxed: written once, before the worker was announced.
    info.os_pid = static_cast<int>(area.os_pid.load(std::memory_order_relaxed));
    info.state = state_of(process.processes().life(slot), static_cast<std::uint32_t>(info.os_pid));
    info.host = host_name();
    info.tasks_done = runtime::CounterRow(area).get(runtime::Count::done);
    const std::uint64_t function =
        area.current_function.load(std::memory_order_relaxed); // relaxed: for show
    if (const auto* operation = function == 0 ? nullptr : runtime::find_operation(function))
        info.current_task = operation->name;
    return info;
}

} // namespace

void detail::check_ids(const std::vector<WorkerId>& ids) {
    for (const WorkerId id : ids)
        try {
            runtime::member_of(runtime::current(), id);
        } catch (const ProcessExitedException&) {
            // that is a failure of its call
        }
}

int cpu_count() { return os::cpu_count(); }

std::vector<WorkerId> addprocs(int n, AddprocsOptions options) {
    launch::SessionState& state = master_state("addprocs");
    check(n, options);
    if (n == 0)
        return {};
    if (options.start == Start::fork)
        warn_of_threads();
    std::vector<WorkerId> ids = state.link->add({n, settings_for(n, options)});
    detail::extend_default_pool(ids);
    return ids;
}

Future<void> rmprocs(const std::vector<WorkerId>& ids, RmprocsOptions options) {
    launch::SessionState& state = master_state("rmprocs");
    runtime::Process& process = *state.process;
    const std::vector<WorkerId> leaving = live_among(process, ids);
    Future<void> gone;
    state.link->remove({leaving, gone.handle().task().index, gone.handle().task().generation});
    if (options.waitfor == forever)
        gone.wait();
    else if (options.waitfor > std::chrono::milliseconds(0) && !gone.wait_for(options.waitfor))
        throw_left(process, leaving, options.waitfor);
    return gone;
}

Future<void> rmprocs(WorkerId id, RmprocsOptions options) {
    return rmprocs(std::vector{id}, options);
}

std::vector<WorkerId> procs() {
    std::vector<WorkerId> ids;
    for (const auto& member : runtime::current().members())
        ids.push_back(member.id);
    return ids;
}

std::vector<WorkerId> workers() {
    std::vector<WorkerId> ids = procs();
    if (ids.size() > 1)
        ids.erase(ids.begin());
    return ids;
}

int nprocs() { return static_cast<int>(runtime::current().worker_count()) + 1; }

int nworkers() { return std::max(1, nprocs() - 1); }

WorkerId myid() { return runtime::current().id(); }

WorkerInfo worker_info(WorkerId id) {
    runtime::Process& process = runtime::current();
    if (const auto slot = process.processes().slot_of(id))
        return info_of_live(process, id, *slot);
    const runtime::Obituary& obituary = process.processes().obituary(id < 0 ? 0 : id);
    if (id <= 1 || obituary.key.load(std::memory_order_acquire) != static_cast<std::uint64_t>(id))
        std::rethrow_exception(runtime::missing_worker(process.processes(), id));
    WorkerInfo info;
    info.id = id;
    info.os_pid = obituary.os_pid;
    info.host = host_name();
    info.exit_reason = runtime::exit_reason(obituary);
    if (const auto* operation =
            obituary.function == 0 ? nullptr : runtime::find_operation(obituary.function))
        info.last_task = operation->name;
    info.last_words = runtime::last_words_of(process.processes(), id);
    info.tasks_done = obituary.tasks_done;
    info.replaced_by = obituary.successor;
    return info;
}

} // namespace dshm
