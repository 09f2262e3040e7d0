// Layer os: futex, mappings, the memory map, file locks, process identity, clock, processors.
//
// The only layer that makes system calls for the runtime. Knows base. Every wrapper reports failure
// as std::system_error with a sentence, or by a value where failure is an ordinary outcome; none
// retries for ever.
#pragma once

#include "dshm/os/backtrace.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/os/cpu.hpp"
#include "dshm/os/faults.hpp"
#include "dshm/os/file_lock.hpp"
#include "dshm/os/file_view.hpp"
#include "dshm/os/futex.hpp"
#include "dshm/os/mapping.hpp"
#include "dshm/os/memory_kills.hpp"
#include "dshm/os/memory_left.hpp"
#include "dshm/os/memory_map.hpp"
#include "dshm/os/pages.hpp"
#include "dshm/os/process.hpp"
#include "dshm/os/process_fence.hpp"
#include "dshm/os/stack.hpp"
#include "dshm/os/symbols.hpp"
