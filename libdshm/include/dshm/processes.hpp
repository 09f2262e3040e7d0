// Workers: starting and ending them, and who is there.
//
// Worker ids count from 2 and are never used again; 1 is the master. Source of the semantics:
// Julia's Distributed.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dshm/affinity.hpp"
#include "dshm/future.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/session.hpp"

namespace dshm {

// Processors that this process may use.
int cpu_count();

struct AddprocsOptions {
    std::optional<Start> start = {}; // default: as the session says
    std::string dir = {};            // working directory; default: the master's now
    std::vector<std::pair<std::string, std::string>> env =
        {};                                // added to the master's environment now
    std::optional<Affinity> affinity = {}; // default: as the session says
    bool enable_threaded_blas = false;     // else BLAS and OpenMP have one thread in each worker
    std::chrono::milliseconds timeout = std::chrono::seconds(60);
    // For Start::exec alone. The program to start, looked for on PATH if it has no slash; default:
    // this program, with its own arguments. Then `exeflags`.
    std::string exename = {};
    std::vector<std::string> exeflags = {};
    std::size_t memory_limit =
        0; // bytes of address space for each worker beyond the segment; 0: none
};

// Starts n workers and gives their ids, ascending, once all of them take tasks. Only process 1 may
// call it: elsewhere it throws std::logic_error. Throws std::invalid_argument for bad values and
// std::runtime_error, with the reason and what the worker printed, when one does not start; then
// none is left. About 0.1 ms for each forked worker, for others what their program takes up to its
// Session.
std::vector<WorkerId> addprocs(int n = cpu_count(), AddprocsOptions options = {});

inline constexpr std::chrono::milliseconds forever = std::chrono::milliseconds::max();

struct RmprocsOptions {
    std::chrono::milliseconds waitfor = forever;
};

// Asks workers to end when they have done what they are doing; insists by SIGTERM after 15 seconds
// and SIGKILL after 17. Returns when they are gone, with a finished future; with waitfor 0 at once,
// with a future to wait on. Past `waitfor` it throws std::runtime_error naming the ids that are
// left. Unknown and ended ids are ignored, 1 is skipped with a warning. Process 1 only.
Future<void> rmprocs(const std::vector<WorkerId>& ids, RmprocsOptions options = {});
Future<void> rmprocs(WorkerId id, RmprocsOptions options = {});

// Ids of the live processes, 1 first, ascending.
std::vector<WorkerId> procs();
// The same without 1; {1} when there are no workers.
std::vector<WorkerId> workers();
int nprocs();
// 1 when there are no workers.
int nworkers();
// The id of the calling process.
WorkerId myid();

struct WorkerInfo {
    WorkerId id = 0;
    int os_pid = 0;
    WorkerState state = WorkerState::exited;
    std::string host;
    std::string
        exit_reason;        // "it ended: killed by SIGKILL", "it ended: exit code 3", with the task
                            // that it ran; empty while it lives
    std::string last_task;  // of a dead one, the callable's type that it ran; empty if none
    std::string last_words; // of a dead one, as in ProcessExitedException
    std::uint64_t tasks_done = 0;
    WorkerId replaced_by = 0; // the worker that was started in its place, or 0
    std::string current_task; // the callable's type, as the compiler spells it; empty when idle
};

// Of a live worker, or of one of the last thousand dead. Throws std::invalid_argument for an id
// that never was.
WorkerInfo worker_info(WorkerId id);

} // namespace dshm
