// What process 1 has of a session beyond its part in the runtime: the segment, the launcher, the
// defaults for new workers.
#pragma once

#include <optional>

#include "dshm/launch/link.hpp"
#include "dshm/runtime/on_worker_death.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::launch {

struct SessionState {
    SessionState(const shm::SegmentOptions& options, bool tag_output,
                 OnWorkerDeath on_worker_death);
    ~SessionState();

    shm::Segment segment;
    std::optional<Link> link;
    std::optional<runtime::Process> process;
    pid_t owner; // the process that made it: a child that the user forks must not end it
};

// The live session of this process, or null: in a worker, for one.
SessionState* current_session_state() noexcept;

} // namespace dshm::launch
