// Workers that join: all of a request do, or none is left.
#include <signal.h>

#include <algorithm>
#include <bitset>
#include <stdexcept>

#include "dshm/launch/launcher_loop.hpp"
#include "dshm/launch/start_worker.hpp"
#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

using runtime::LifePhase;

constexpr const char* needs_session =
    "; a program that is started as a worker has to make a dshm::Session, the sooner the better";

std::string timeout_text(const WorkerSettings& settings) {
    return " did not join within " + std::to_string(settings.timeout_milliseconds) + " ms" +
           (settings.fresh ? needs_session : "");
}

} // namespace

void Launcher::add_workers(const AddWorkers& request) {
    const WorkerSettings& settings = request.settings;
    joining_ = Joining{{},
                       os::Clock::now() + std::chrono::milliseconds(settings.timeout_milliseconds),
                       timeout_text(settings),
                       "",
                       ""};
    try {
        const auto shared = std::make_shared<const WorkerSettings>(settings);
        for (int i = 0; i < request.count; ++i)
            joining_->ids.push_back(start_one(shared, static_cast<std::size_t>(i)).id);
    } catch (const std::exception& error) {
        give_up_joining(error.what());
    }
    finish_joining();
}

unsigned Launcher::free_slot() const {
    std::bitset<shm::max_processes> taken;
    for (const auto& [id, worker] : workers_)
        taken.set(worker.owner.slot);
    for (const ClientRecord& client : clients_)
        taken.set(client.owner.slot);
    for (unsigned slot = shm::first_worker_slot; slot < shm::max_processes; ++slot)
        if (!taken.test(slot))
            return slot;
    throw std::runtime_error("a session has room for " + std::to_string(shm::max_workers) +
                             " workers and attached programs, and they are all there");
}

// A row of the process table for a worker that is about to start.
shm::Owner Launcher::prepare_row(WorkerId id) {
    const unsigned slot = free_slot();
    runtime::ProcessTable& table = process_.processes();
    table.back_area(slot);
    const auto last = table.life(slot).incarnation;
    const auto incarnation = static_cast<std::uint16_t>(last == 0xffff ? 1 : last + 1); // never 0
    runtime::ProcessArea& area = table.area(slot);
    // relaxed: published by the life word (edge `life`).
    area.exit_asked.store(0, std::memory_order_relaxed);
    area.output_asked.store(0, std::memory_order_relaxed);
    area.output_shown.store(0, std::memory_order_relaxed);
    area.output_busy.store(0, std::memory_order_relaxed);
    area.current_function.store(0, std::memory_order_relaxed);
    table.set_life(slot, {LifePhase::starting, incarnation, id});
    return {static_cast<std::uint8_t>(slot), incarnation};
}

WorkerRecord& Launcher::start_one(std::shared_ptr<const WorkerSettings> settings,
                                  std::size_t number) {
    const WorkerId id = next_id_++;
    const shm::Owner owner = prepare_row(id);
    WorkerRecord worker;
    worker.id = id;
    worker.owner = owner;
    try {
        StartedWorker started =
            start_worker({segment_, owner, id, bell_.get(), settings.get(), number});
        const std::string prefix =
            tag_output_ ? "      From worker " + std::to_string(id) + ":\t" : std::string();
        worker.os_pid = started.process;
        worker.pidfd = std::move(started.pidfd);
        worker.output = std::make_unique<LineRelay>(std::move(started.output), output_, prefix);
        worker.errors = std::make_unique<LineRelay>(std::move(started.errors), errors_, prefix);
    } catch (...) {
        process_.processes().set_life(owner.slot, {LifePhase::dead, owner.incarnation, id});
        throw;
    }
    // relaxed: published by the reply, and by the worker's own announcement.
    process_.processes()
        .area(owner.slot)
        .os_pid.store(static_cast<std::uint32_t>(worker.os_pid), std::memory_order_relaxed);
    worker.settings = std::move(settings);
    worker.number = number;
    return workers_.emplace(id, std::move(worker)).first->second;
}

bool Launcher::is_joining(WorkerId id) const {
    return joining_ &&
           std::find(joining_->ids.begin(), joining_->ids.end(), id) != joining_->ids.end();
}

// True once every worker of the request takes tasks. Gives up when one of them never will.
bool Launcher::all_have_joined() {
    bool all = true;
    for (const WorkerId id : joining_->ids) {
        const auto worker = workers_.find(id);
        if (worker == workers_.end()) {
            give_up_joining(
                "worker " + std::to_string(id) + " ended before it took tasks: " +
                os::describe_wait_status(process_.processes().obituary(id).wait_status));
            return false;
        }
        const auto phase = process_.processes().life(worker->second.owner.slot).phase;
        const bool joined = phase == LifePhase::running;
        if (!joined && os::Clock::now() >= joining_->until) {
            give_up_joining("worker " + std::to_string(id) + joining_->timeout_text);
            return false;
        }
        all = all && joined;
    }
    return all;
}

// Answers once every worker of the request takes tasks, or has ended because one of them never will.
void Launcher::finish_joining() {
    if (!joining_)
        return;
    if (joining_->failure.empty() && all_have_joined()) {
        // A worker says that it is running before it announces it: the master must not be told in
        // between.
        process_.processes().announce_change();
        answer({joining_->ids, ""});
        joining_.reset();
        return;
    }
    const bool some_left = std::any_of(joining_->ids.begin(), joining_->ids.end(),
                                       [this](WorkerId id) { return workers_.contains(id); });
    if (joining_->failure.empty() || some_left)
        return;
    std::string text = joining_->failure;
    if (!joining_->printed.empty())
        text += "; it printed: " + joining_->printed;
    answer({{}, text.substr(0, text.find_last_not_of('\n') + 1)});
    joining_.reset();
}

// The master runs tasks while it waits, and may sleep.
void Launcher::answer(const Reply& reply) {
    send_reply(socket_.get(), reply);
    process_.processes().area(shm::master_slot).bell.ring();
}

void Launcher::give_up_joining(const std::string& why) {
    joining_->failure = why;
    for (const WorkerId id : joining_->ids)
        if (const auto worker = workers_.find(id); worker != workers_.end()) {
            worker->second.asked_to_exit = true;
            worker->second.insisted = 2;
            kill(worker->second.os_pid, SIGKILL);
        }
}

} // namespace dshm::launch
