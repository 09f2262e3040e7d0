// What makes a process a worker's, for forked and fresh ones alike: signals, streams, environment,
// directory, processors, limits.
//
// Called in the child of the launcher's fork, before its program starts if it is a fresh one. There
// is one thread and nobody to throw to: what fails is said on standard error, and the process ends;
// the launcher sees that as any other death.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dshm/launch/handover.hpp"
#include "dshm/launch/requests.hpp"
#include "dshm/os/mapping.hpp"

namespace dshm::launch {

// For the launcher, of which workers are forked.
void ignore_signals_of_the_master();

// Dies with the launcher, takes signals as a new process does, reads nothing, writes into the pipes,
// and is killed before the master when memory runs out.
void prepare_process(pid_t launcher, const os::Fd& output, const os::Fd& errors);

// These files are open in the program that is about to be executed, and no others above the standard
// streams.
void keep_files_across_exec(const std::array<int, 4>& files);
// And not in those that it executes itself.
void close_files_on_exec(const std::array<int, 4>& files);

// The settings' environment in place of this process's. They must stay as long as the process.
void set_environment(const WorkerSettings& settings);
// The environment of a fresh process: the settings', BLAS and OpenMP limited, and the handover. The
// last value of a name counts.
std::vector<std::string> fresh_environment(const WorkerSettings& settings,
                                           const Handover& handover);
void enter_directory(const std::string& directory);
void pin_to_processors(const WorkerSettings& settings, std::size_t number);

// One thread each for BLAS and OpenMP, unless `threaded`: in the environment, and by a call to
// libraries that are loaded already.
void limit_library_threads(bool threaded);
// Asks the loader which these are, for this process and those that are forked from it, which then do not
// ask: another thread that is gone there may have held the loader's lock.
void find_threaded_libraries();
// Address space beyond the segment; 0: no limit.
void limit_memory(std::uint64_t bytes, std::uint64_t segment);

} // namespace dshm::launch
