// Which program a fresh worker runs, and with what arguments.
#pragma once

#include <string>
#include <vector>

namespace dshm::launch {

struct Command {
    std::string program; // an absolute path
    std::vector<std::string> arguments;
};

// `own` with the flags behind it where `exename` is empty: the launcher's own program, even if its
// file has been replaced since. Else `exename` with the flags alone; one without a slash is looked
// for on PATH, one with a slash is relative to this process's directory. Throws std::runtime_error
// when PATH has no such program.
Command worker_command(const std::string& exename, const std::vector<std::string>& flags,
                       const std::vector<std::string>& own);

} // namespace dshm::launch
