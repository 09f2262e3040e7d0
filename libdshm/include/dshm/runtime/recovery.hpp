// What the launcher does after a death, and nobody else.
//
// One linear pass over each table. Every step is a compare-and-swap from the state that names the
// dead process, or an operation that may be repeated, so a pass may be interrupted anywhere and
// started again, and a pass over a table in which nothing is wrong changes nothing. It waits for
// nothing that lies in shared memory: what does not fit into a ring is tried again at the next call
// of retry().
//
//     filling(w)                 → free, payload dropped
//     queued for w alone         → failed: w has ended
//     queued, spawned by w       → its entry is put again; a second entry is harmless
//     running(w)                 → failed: w has ended while running it
//                                  or queued again, where workers are replaced, its arguments are as they
//                                  were, and it has not ended too many workers
//     queued for w alone, w has a successor → queued for that
//     held by w                  → not held by w; freed if nobody else holds it and it has ended
//     open, owned by w           → failed: w has ended
//     open, held by w alone      → free
//     blocks of tasks gone by    → free
//     workers of pools taken by w → free; w itself is no member any more
//     objects held by w          → the bit is cleared, after the pins of its payloads were inherited
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "dshm/os/mapping.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

struct Death {
    shm::Owner owner;
    WorkerId id;
    int os_pid;
    int wait_status;
    // How an attached program ended, of which there is no status.
    std::string_view how = {};
    // Tasks may be begun anew: workers are replaced, and nobody had told this one to end.
    bool repeats = false;
    // The worker in its place, which may still be starting.
    std::optional<Membership::Member> successor = {};
    // Somebody is there, or starting, to run what is for anyone. The master must not run what has
    // ended workers.
    bool workers_left = true;
};

class Recovery {
public:
    explicit Recovery(Process& launcher) : process_(&launcher) {}

    // Idempotent. Afterwards nothing in the segment names the dead process, and everybody has been
    // rung.
    void bury(const Death& death);

    // Puts what did not fit into a ring, and lets go of pins that are not needed any more.
    void retry();
    bool has_leftovers() const { return !unput_.empty(); }

private:
    void clear_masks(const Death& death);
    void take_back(const Death& death);
    void sweep_tasks(const Death& death);
    void take_over_pins(const Death& death, std::uint32_t index);
    void sweep_task(const Death& death, std::uint32_t index);
    void sweep_running(const Death& death, TaskRef task, TaskState state);
    void sweep_queued(const Death& death, TaskRef task, TaskState state);
    bool give_again(const Death& death, TaskRef task, TaskState state);
    void sweep_holder(const Death& death, TaskRef task);
    void sweep_open(const Death& death, TaskRef task);
    void fail(const Death& death, TaskRef task, ExitMoment moment, unsigned attempts = 0);
    void sweep_blocks();
    void put_or_keep(TaskRef task);
    bool put(TaskRef task);
    bool put_for(WorkerId target, TaskRef task);

    Process* process_;
    std::vector<TaskRef> unput_;
    std::vector<TaskRef> shared_; // whose holders are looked at when all pins are taken over
    // States of all tasks, each after it was swept. Not of the heap: of what the launcher writes after
    // each fork the kernel copies every page.
    std::span<std::uint64_t> swept_;
    os::Mapping swept_memory_ = os::Mapping::anonymous(shm::max_tasks * sizeof(std::uint64_t));
};

} // namespace dshm::runtime
