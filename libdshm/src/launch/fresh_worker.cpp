#include "dshm/launch/fresh_worker.hpp"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <stdexcept>
#include <string>

#include "dshm/launch/handover.hpp"
#include "dshm/launch/worker.hpp"
#include "dshm/launch/worker_setup.hpp"
#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

Handover take_handover() {
    const char* text = std::getenv(handover_variable);
    const Handover handover = Handover::parse(text == nullptr ? "" : text);
    unsetenv(handover_variable); // what this process starts is no worker
    return handover;
}

// A program that a worker's program starts inherits the variable, and is no worker. The death signal
// was set before this program began; a change of identity on the way would have cleared it.
void check_parent(const Handover& handover) {
    if (!os::die_with_parent(handover.launcher))
        throw std::runtime_error(
            "this process makes a Session as a worker, but the launcher that asked for it is "
            "not its parent; where exename is a script, let it end with `exec program`, or unset " +
            std::string(handover_variable) + " for programs of its own");
}

// Never destroyed: what exit destroys in this process may lie in it.
shm::Segment& adopted_segment(int file) {
    static auto* const segment = new shm::Segment(shm::Segment::adopt(os::Fd(file)));
    return *segment;
}

} // namespace

bool is_fresh_worker() noexcept { return std::getenv(handover_variable) != nullptr; }

void run_fresh_worker() {
    try {
        const Handover handover = take_handover();
        check_parent(handover);
        os::reset_signals_for_worker();
        close_files_on_exec(handover.files());
        static WorkerSettings settings;
        settings.threaded_blas = handover.threaded_blas;
        settings.memory_limit = handover.memory_limit;
        run_prepared_worker({&adopted_segment(handover.segment), handover.owner, handover.id,
                             handover.launcher, handover.launcher_bell, os::Fd(), os::Fd(),
                             handover.output_read, handover.errors_read, &settings, 0});
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dshm: this process cannot be a worker: %s\n", error.what());
    }
    std::fflush(nullptr);
    _exit(1);
}

} // namespace dshm::launch
