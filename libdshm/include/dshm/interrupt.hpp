// Asking running tasks to stop.
#pragma once

#include <vector>

#include "dshm/processes.hpp"

namespace dshm {

// Inside a task: it was cancelled (Future::cancel), or its process interrupted, since it began. A
// long computation asks now and then and returns early, or throws InterruptException. Always false
// outside tasks. A few nanoseconds.
bool stop_requested() noexcept;

// Cancels what runs on these processes now: their tasks' waits in dshm throw InterruptException,
// and computing tasks see stop_requested(). What has not begun is not touched, and idle processes
// notice nothing. Returns at once. Ended workers are ignored; an id that never was a process
// throws std::invalid_argument, with nobody interrupted. Source: Julia's interrupt.
void interrupt(const std::vector<WorkerId>& ids = workers());
void interrupt(WorkerId id);

} // namespace dshm
