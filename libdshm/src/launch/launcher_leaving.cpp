// Workers that are asked to leave, and workers that die: asking, insisting, burying.
#include <signal.h>
#include <sys/wait.h>

#include "dshm/launch/death_report.hpp"
#include "dshm/launch/launcher_loop.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/crash_note.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/last_words.hpp"
#include "dshm/runtime/operation.hpp"

namespace dshm::launch {

namespace {

using namespace std::chrono_literals;
using runtime::LifePhase;

// After a worker that was asked to leave has got its SIGTERM, it has so long until SIGKILL.
constexpr auto patience_before_kill = 2s;

} // namespace

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

void Launcher::ask_to_exit(WorkerRecord& worker, os::Clock::duration patience) {
    if (worker.asked_to_exit)
        return;
    worker.asked_to_exit = true;
    worker.insist_at = os::Clock::now() + patience;
    worker.keeps_master_waiting = on_worker_death() == OnWorkerDeath::restart;
    if (worker.keeps_master_waiting) // until what has ended others has failed, if it is the last
        keep_master_waiting();
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
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && memory_kills_.tell() &&
        !worker.asked_to_exit)
        status |= os::killed_for_memory;
    relay_last(worker);
    output_.flush();
    errors_.flush();
    if (is_joining(id))
        joining_->printed += worker.output->tail() + worker.errors->tail();
    const OnWorkerDeath choice = is_sudden(worker) ? on_worker_death() : OnWorkerDeath::ignore;
    if (choice != OnWorkerDeath::ignore)
        keep_master_waiting();
    announce_death(worker, status);
    const WorkerRecord* const successor = replace(worker);
    write_obituary(worker, status, successor == nullptr ? 0 : successor->id);
    forget_replacement(worker);
    process_.processes().set_life(worker.owner.slot,
                                  {LifePhase::dead, worker.owner.incarnation, worker.id});
    process_.processes().announce_change(); // before anybody is woken by what recovery ends
    retire_counters(worker.owner);
    runtime::Death death{worker.owner, worker.id, static_cast<int>(worker.os_pid), status};
    death.repeats = on_worker_death() == OnWorkerDeath::restart && !worker.asked_to_exit;
    if (successor != nullptr)
        death.successor = {successor->id, successor->owner};
    death.workers_left = somebody_else_works(id);
    recovery_.bury(death);
    const bool was_last_hope = worker.keeps_master_waiting;
    workers_.erase(id);
    if (was_last_hope)
        let_master_go_on();
    finish_leaving();
    if (choice == OnWorkerDeath::stop)
        stop_session(id);
    if (choice == OnWorkerDeath::restart)
        let_master_go_on();
}

void Launcher::write_obituary(const WorkerRecord& worker, int status, WorkerId successor) {
    runtime::Obituary& obituary = process_.processes().obituary(worker.id);
    runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    obituary.key.store(0, std::memory_order_release);
    obituary.wait_status = status;
    obituary.os_pid = static_cast<std::int32_t>(worker.os_pid);
    obituary.function =
        area.current_function.load(std::memory_order_relaxed); // relaxed: its writer is dead
    obituary.tasks_done = runtime::CounterRow(area).get(runtime::Count::done);
    obituary.asked_to_exit = worker.asked_to_exit ? 1 : 0;
    obituary.successor = successor;
    // release, edge `obituary`.
    obituary.key.store(static_cast<std::uint64_t>(worker.id), std::memory_order_release);
}

void Launcher::announce_death(const WorkerRecord& worker, int status) {
    if (worker.asked_to_exit || is_joining(worker.id)) // then the answer says so
        return;
    const runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    DeathReport report{worker.id, static_cast<int>(worker.os_pid), status, {}, {}, {}, {}};
    report.crash = runtime::read_crash(area, worker.id);
    // relaxed: its writer is dead.
    const std::uint64_t function = area.current_function.load(std::memory_order_relaxed);
    const runtime::Operation* operation =
        function == 0 ? nullptr : runtime::find_operation(function);
    report.task = operation == nullptr ? report.crash.task : std::string(operation->name);
    report.output = worker.output->tail();
    report.errors = worker.errors->tail();
    errors_.add(report.announcement());
    errors_.flush();
    if (const std::string words = report.last_words(); !words.empty())
        runtime::write_last_words(process_.processes(), last_words_++, worker.id, words);
}

// Counters of the dead stay in the sums: they move to the launcher's own row.
void Launcher::retire_counters(shm::Owner owner) {
    auto& counts = process_.processes().area(owner.slot).counts;
    for (unsigned i = 0; i < counts.size(); ++i) {
        process_.counters().add(
            static_cast<runtime::Count>(i),
            counts[i].load(std::memory_order_relaxed)); // relaxed: its writer is dead
        counts[i].store(0, std::memory_order_relaxed);
    }
}

} // namespace dshm::launch
