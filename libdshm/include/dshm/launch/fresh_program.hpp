// Starting a program as a new process. Boost.Process is here and nowhere else.
//
// Called on the launcher's only thread. Waits until the kernel has taken the program or refused it,
// and for nothing more: the caller watches the process and reaps it.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

namespace dshm::launch {

struct FreshProgram {
    std::string path;
    std::vector<std::string> arguments; // its name first
    std::vector<std::string> environment;
    std::function<void()> prepare; // runs in the new process before the program does
};

// Throws std::runtime_error that names the program when it cannot be executed; then there is no
// process.
pid_t start_program(const FreshProgram& program);

} // namespace dshm::launch
