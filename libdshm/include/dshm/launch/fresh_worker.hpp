// A worker that is a fresh process: its Session's constructor comes here.
#pragma once

namespace dshm::launch {

// The launcher started this process to be a worker: its handover is in the environment.
bool is_fresh_worker() noexcept;

// Adopts the segment and works. Never returns: says on standard error what is wrong, and ends, when
// this process is not the launcher's own child or the segment is not one that this build can share.
[[noreturn]] void run_fresh_worker();

} // namespace dshm::launch
