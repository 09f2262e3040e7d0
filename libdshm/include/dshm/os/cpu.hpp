// Processors that this process may use.
#pragma once

namespace dshm::os {

// Processors in this process's affinity mask (a cgroup's cpuset included), at least 1. Read once,
// then remembered.
int cpu_count() noexcept;

} // namespace dshm::os
