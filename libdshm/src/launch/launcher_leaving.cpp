// Workers that are asked to leave, and workers that die: asking, insisting, burying.
#include <signal.h>
#include <sys/wait.h>

#include "dshm/launch/launcher_loop.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/failure.hpp"
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
    relay_last(worker);
    output_.flush();
    errors_.flush();
    if (is_joining(id))
        joining_->printed += worker.output->tail() + worker.errors->tail();
    write_obituary(worker, status);
    announce_death(worker, status);
    process_.processes().set_life(worker.owner.slot,
                                  {LifePhase::dead, worker.owner.incarnation, worker.id});
    process_.processes().announce_change(); // before anybody is woken by what recovery ends
    retire_counters(worker.owner);
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
    if (worker.asked_to_exit || is_joining(worker.id)) // then the answer says so
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
