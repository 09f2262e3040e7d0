// Calls that every process makes once: those that are there when the call is kept, and every worker
// that is started later, before its first task.
//
// A kept call is a task record that never runs as a task: its payload is read in place by each
// process, and it stays until the session ends. Its place in the order is a number that the segment
// counts. Which of them a process has made is private to it, so a call that reaches a starting
// worker twice, by its own look and by a task of the caller, is made once.
//
// If the caller dies before the record is published, nothing was kept; if it dies after, the call
// is made by later workers and by those of the others that were told.
#pragma once

#include <cstdint>
#include <mutex>
#include <set>

#include "dshm/runtime/task_record.hpp"

namespace dshm::runtime {

class Process;

class Replays {
public:
    explicit Replays(Process& process) : process_(&process) {}

    // Makes a kept call, unless this process has made it. Throws what it throws.
    void make(TaskRef call);
    // Makes every kept call in their order. O(table) if there are any. Throws what the first that
    // fails throws; the later ones are not made.
    void make_all();

private:
    bool first_time(std::uint64_t order);

    Process* process_;
    std::mutex lock_;
    std::set<std::uint64_t> made_;
};

} // namespace dshm::runtime
