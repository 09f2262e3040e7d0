// The launcher: forks workers, relays their output, buries them, and leaves nobody behind.
//
// One thread, one loop over one ppoll: the master's requests, pidfds of the master and of every
// worker, the workers' pipes, and a bell that workers ring when the table has news. It waits for
// nothing else: never for a lock, never for a reader of its output.
//
// When the master ends, in whatever way, workers are killed and the segment's name is removed. When
// the launcher is killed, the kernel kills the workers (parent-death signal), the master sees it at
// its next wait, and the next session removes the name.
#pragma once

#include "dshm/os/mapping.hpp"
#include "dshm/ship/module_table.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::launch {

struct LauncherStart {
    shm::Segment* segment = nullptr;
    pid_t master = 0;
    os::Fd socket; // requests and replies
    bool tag_output = true;
    ship::ModuleList modules; // of the program at the fork
};

// Never returns. Called in the child of the fork.
[[noreturn]] void run_launcher(LauncherStart start);

} // namespace dshm::launch
