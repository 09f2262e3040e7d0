// Whether a process that got SIGKILL got it from the kernel, because memory ran out.
//
// The kernel tells nobody; it counts. The count of a memory cgroup (oom_kill in memory.events or, of
// version 1, in memory.oom_control) is of that group's processes alone, the machine's (oom_kill in
// /proc/vmstat) of all, so that is asked only where no group says. The count is raised before the
// signal is sent.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dshm/os/mapping.hpp"

namespace dshm::os {

class MemoryKills {
public:
    // Counts from now on what happens to the groups that this process is in.
    MemoryKills();
    // The counts in these files, for tests.
    explicit MemoryKills(const std::vector<std::string>& paths);

    // To be asked once for each process that got SIGKILL: true if there has been a kill for memory
    // that no answer before has told of. Some microseconds.
    bool tell();

private:
    struct Count {
        Fd file;
        std::uint64_t told = 0;
    };
    bool watch(const std::string& path);

    std::vector<Count> counts_;
};

} // namespace dshm::os
