// Failed tasks: how a failure is written into a record and how it is thrown at who asks.
#pragma once

#include <exception>
#include <string>

#include "dshm/runtime/holdings.hpp"
#include "dshm/runtime/process_table.hpp"

namespace dshm::runtime {

// Writes an exception as the task's result. Never fails: what does not fit is shortened.
void write_failure(TaskTable& tasks, TaskRef task, std::exception_ptr error,
                   WorkerId worker) noexcept;

// Writes that the process which should have run the task has ended. Allocates nothing: the launcher
// calls it.
void write_exit(TaskTable& tasks, TaskRef task, const ExitNote& note) noexcept;

// The exception with which a task fails that throws this one on `worker`, for what runs there
// without being one.
std::exception_ptr as_remote(std::exception_ptr error, WorkerId worker);

// The exception that a failed result stands for.
std::exception_ptr failure_of(const ResultView& result);

// "it ended: killed by SIGKILL while running f(int)", "it ended: exit code 3", "it was removed by
// rmprocs".
std::string exit_reason(const Obituary& obituary);

// The exception for a worker that is not there any more; std::invalid_argument for one that never
// was.
std::exception_ptr missing_worker(const ProcessTable& processes, WorkerId id);

} // namespace dshm::runtime
