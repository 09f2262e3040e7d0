// What workers print, on its way to the launcher's own streams.
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>
#include <string>

#include "dshm/launch/launcher_loop.hpp"

namespace dshm::launch {

void Launcher::relay(WorkerRecord& worker) {
    runtime::ProcessArea& area = process_.processes().area(worker.owner.slot);
    // seq_cst, edge `output-busy`: said before the pipe is emptied, so that a worker that finds it
    // empty sees this.
    area.output_busy.store(1, std::memory_order_seq_cst);
    worker.output->read_available();
    worker.errors->read_available();
}

// The last of a worker that has ended: also a line without an end.
void Launcher::relay_last(WorkerRecord& worker) {
    relay(worker);
    worker.output->end_line();
    worker.errors->end_line();
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
    tell_lost_output();
}

// What standard output does not take, of a full disk for one: said once.
void Launcher::tell_lost_output() {
    if (output_.error() == 0 || told_lost_output_)
        return;
    told_lost_output_ = true;
    errors_.add(
        std::string("dshm: standard output does not take what workers print, which is lost: ") +
        std::strerror(output_.error()) + "\n");
    errors_.flush();
}

} // namespace dshm::launch
