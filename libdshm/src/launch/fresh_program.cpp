#include "dshm/launch/fresh_program.hpp"

#include <sys/wait.h>

#include <boost/process/child.hpp>
#include <boost/process/error.hpp>
#include <boost/process/exe.hpp>
#include <boost/process/extend.hpp>
#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <system_error>

namespace dshm::launch {

namespace {

// Null-terminated, as execve takes it.
std::vector<char*> pointers_to(const std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (const std::string& text : texts)
        pointers.push_back(const_cast<char*>(text.c_str()));
    pointers.push_back(nullptr);
    return pointers;
}

// What Boost.Process is told beyond the program's path. Its own parameters for arguments and
// environment would split and copy them; its own for descriptors know neither a parent-death signal
// nor a changed signal mask.
struct Details : boost::process::extend::handler {
    char** arguments = nullptr;
    char** environment = nullptr;
    const std::function<void()>* prepare = nullptr;

    template <class Executor>
    void on_setup(Executor& executor) const {
        executor.cmd_line = arguments;
        executor.env = environment;
    }
    template <class Executor>
    void on_exec_setup(Executor&) const {
        (*prepare)();
    }
    // Boost.Process looks once whether the child has gone; here it is waited for, since it is going.
    template <class Executor>
    void on_error(Executor& executor, const std::error_code&) const {
        while (executor.pid > 0 && waitpid(executor.pid, nullptr, 0) < 0 && errno == EINTR) {
        }
    }
};

} // namespace

pid_t start_program(const FreshProgram& program) {
    std::vector<char*> arguments = pointers_to(program.arguments);
    std::vector<char*> environment = pointers_to(program.environment);
    Details details;
    details.arguments = arguments.data();
    details.environment = environment.data();
    details.prepare = &program.prepare;
    std::error_code error;
    boost::process::child child(boost::process::exe = program.path, details, error);
    if (error)
        throw std::runtime_error("cannot execute '" + program.path + "': " + error.message());
    const pid_t process = child.id();
    if (process <= 0) // a pipe that could not be made is not told through `error`
        throw std::runtime_error("cannot start '" + program.path + "': " + std::strerror(errno));
    child.detach(); // it is watched by its pidfd and reaped by waitpid, like a forked worker
    return process;
}

} // namespace dshm::launch
