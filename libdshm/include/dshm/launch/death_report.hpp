// What is said of a worker that has ended without having been told to.
//
//     dshm: worker 3 (process 4711) ended: killed by SIGSEGV (core dumped) while running solve(int)
//       at address 0x10, where nothing is mapped
//       app::step(app::Grid&) [solver+0x4f21]
//       app::solve(int) [solver+0x51c0]
//
// That goes to standard error, where what the worker printed is already. The exception that its task
// fails with has the cause, the innermost calls, and the last lines printed.
#pragma once

#include <string>
#include <string_view>

#include "dshm/runtime/crash_note.hpp"

namespace dshm::launch {

struct DeathReport {
    int worker = 0;
    int os_pid = 0;
    int wait_status = 0;
    std::string task; // that it ran; empty if it ran none
    runtime::CrashText crash;
    std::string_view output, errors; // the last that it printed on each

    // Whole lines.
    std::string announcement() const;
    // Without the cause and without an end of line; empty where there is nothing to say.
    std::string last_words() const;
};

} // namespace dshm::launch
