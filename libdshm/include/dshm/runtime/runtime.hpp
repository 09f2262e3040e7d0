// Layer runtime: processes, tasks, scheduling and recovery.
//
// Knows base, os, shm, sync, queue and ship. This is where the words of the segment become a
// session: rows of processes, records of tasks, and what each process does with them. Recovery,
// which puts right what a dead process left, is run by the launcher alone.
#pragma once

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/counters.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/holdings.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/pool_call.hpp"
#include "dshm/runtime/pool_waits.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/runtime/recovery.hpp"
#include "dshm/runtime/replays.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "dshm/runtime/shared_values.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/runtime/task_handle.hpp"
#include "dshm/runtime/task_record.hpp"
#include "dshm/runtime/task_table.hpp"
#include "dshm/runtime/task_wait.hpp"
#include "dshm/runtime/whereabouts.hpp"
#include "dshm/runtime/worker_pool.hpp"
