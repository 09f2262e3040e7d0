// What else a worker's sudden death leads to, by the session's choice (runtime/on_worker_death.hpp):
// another worker in its place, or the end of the session.
//
// The new one is there, starting, before the old one is gone for others: what was sent to the old one
// alone goes to it, and nobody sees a session without workers in between (`workers_coming`). If the
// launcher dies over it the session has ended, and the kernel ends the new one with the others.
#include <signal.h>

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "dshm/launch/launcher_loop.hpp"

namespace dshm::launch {

namespace {

using runtime::LifePhase;

std::string number_of(WorkerId id) { return "worker " + std::to_string(id); }

} // namespace

// Nobody has told it to end, and nobody is told of its end by the answer of addprocs.
bool Launcher::is_sudden(const WorkerRecord& worker) const {
    return !worker.asked_to_exit && !is_joining(worker.id);
}

bool Launcher::somebody_else_works(WorkerId id) const {
    return std::any_of(workers_.begin(), workers_.end(), [id](const auto& entry) {
        return entry.first != id && !entry.second.asked_to_exit;
    });
}

// Without workers the master runs what is for anyone: not before it is known that none will come, and
// what might end it has failed.
void Launcher::keep_master_waiting() {
    process_.header().workers_coming.fetch_add(runtime::coming::one_more,
                                               std::memory_order_seq_cst);
}
void Launcher::let_master_go_on() {
    process_.header().workers_coming.fetch_sub(1, std::memory_order_seq_cst);
    if (!process_.processes().somebody_comes())
        process_.processes().tell_everybody_to_look();
}

// Limits what would go on for ever: workers that end before they have done anything.
bool Launcher::may_replace(const WorkerRecord& dead) {
    const runtime::CounterRow counts(process_.processes().area(dead.owner.slot));
    barren_workers_ = counts.get(runtime::Count::done) != 0 ? 0 : barren_workers_ + 1;
    const bool began =
        !dead.is_coming || process_.processes().life(dead.owner.slot).phase != LifePhase::starting;
    failed_starts_ = began ? 0 : failed_starts_ + 1;
    if (failed_starts_ < runtime::most_failed_starts &&
        barren_workers_ < runtime::most_barren_workers)
        return true;
    const bool at_start = failed_starts_ >= runtime::most_failed_starts;
    errors_.add(
        "dshm: " + number_of(dead.id) + " is not replaced: the last " +
        std::to_string(at_start ? failed_starts_ : barren_workers_) +
        (at_start ? " ended before they took tasks\n" : " ended before they had done a task\n"));
    return false;
}

// The worker in its place. Null if there is to be none, or it cannot be started.
WorkerRecord* Launcher::replace(const WorkerRecord& dead) {
    if (!is_sudden(dead) || on_worker_death() != OnWorkerDeath::restart || !may_replace(dead))
        return nullptr;
    try {
        WorkerRecord& worker = start_one(dead.settings, dead.number);
        worker.is_coming = true;
        keep_master_waiting();
        worker.come_until =
            os::Clock::now() + std::chrono::milliseconds(dead.settings->timeout_milliseconds);
        errors_.add("dshm: " + number_of(worker.id) + " (process " + std::to_string(worker.os_pid) +
                    ") is started in its place\n");
        return &worker;
    } catch (const std::exception& error) {
        errors_.add("dshm: " + number_of(dead.id) + " cannot be replaced: " + error.what() + "\n");
        return nullptr;
    }
}

// It takes tasks, or has ended.
void Launcher::forget_replacement(WorkerRecord& worker) {
    if (std::exchange(worker.is_coming, false))
        let_master_go_on();
}

void Launcher::welcome_replacements() {
    bool some = false;
    for (auto& [id, worker] : workers_) {
        if (!worker.is_coming)
            continue;
        if (process_.processes().life(worker.owner.slot).phase == LifePhase::running) {
            process_.processes().announce_change(); // it may not have come so far itself
            forget_replacement(worker);
            some = true;
        } else if (os::Clock::now() >= worker.come_until) {
            kill(worker.os_pid, SIGKILL);
        }
    }
    if (some) // who waits for a worker of a pool
        process_.processes().tell_everybody_to_look();
}

// Tasks that the dead one ran have failed with its death; everything else fails with the session.
void Launcher::stop_session(WorkerId dead) {
    // release: its obituary is complete.
    process_.header().stopped_by.store(static_cast<std::uint64_t>(dead), std::memory_order_release);
    process_.processes().ring_everybody();
    kill_everybody();
    leave();
}

} // namespace dshm::launch
