// A worker process, from its fork, or from its Session if it is a fresh one, to its end.
#pragma once

#include "dshm/launch/requests.hpp"
#include "dshm/os/mapping.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::launch {

struct WorkerStart {
    shm::Segment* segment = nullptr;
    shm::Owner owner;
    WorkerId id = 0;
    pid_t launcher = 0;
    int launcher_bell = -1; // an eventfd: "look at the table"
    os::Fd output;          // write ends of the pipes
    os::Fd errors;
    int output_read = -1; // read ends: is there anything that nobody has read?
    int errors_read = -1;
    const WorkerSettings* settings = nullptr;
    std::size_t number = 0; // among those of its request
};

// Never returns: runs tasks until it is told to go, and leaves by _exit, so that handlers that the
// program registered before the fork do not run twice.
[[noreturn]] void run_worker(WorkerStart start);

// The same in a process whose streams, files, signals, environment, directory and processors are a
// worker's already.
[[noreturn]] void run_prepared_worker(WorkerStart start);

} // namespace dshm::launch
