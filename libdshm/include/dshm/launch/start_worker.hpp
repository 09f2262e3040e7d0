// Starting one worker's process, of either kind, with the pipes that its output goes into.
//
// Only the launcher calls this. If the launcher dies half-way, the kernel kills what it has started.
#pragma once

#include <sys/types.h>

#include "dshm/launch/requests.hpp"
#include "dshm/os/mapping.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::launch {

struct NewWorker {
    shm::Segment* segment = nullptr;
    shm::Owner owner;
    WorkerId id = 0;
    int launcher_bell = -1;
    const WorkerSettings* settings = nullptr;
    std::size_t number = 0; // among those of its request
};

struct StartedWorker {
    pid_t process = 0;
    os::Fd pidfd;
    os::Fd output; // read ends, which never block
    os::Fd errors;
};

// Throws std::runtime_error with the reason when there is no process; then nothing is left of it.
StartedWorker start_worker(const NewWorker& worker);

} // namespace dshm::launch
