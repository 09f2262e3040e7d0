#include "dshm/launch/start_worker.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "dshm/launch/fresh_program.hpp"
#include "dshm/launch/handover.hpp"
#include "dshm/launch/worker.hpp"
#include "dshm/launch/worker_setup.hpp"
#include "dshm/os/process.hpp"

namespace dshm::launch {

namespace {

[[noreturn]] void throw_errno(const std::string& what) {
    throw std::runtime_error(what + ": " + std::strerror(errno));
}

struct Pipe {
    os::Fd read;
    os::Fd write;
};

Pipe make_pipe() {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0)
        throw_errno("cannot make a pipe");
    return {os::Fd(ends[0]), os::Fd(ends[1])};
}

pid_t start_fork(const NewWorker& worker, Pipe& output, Pipe& errors) {
    const pid_t launcher = getpid();
    const pid_t child = fork();
    if (child < 0)
        throw_errno("cannot fork a worker");
    if (child == 0)
        run_worker({worker.segment, worker.owner, worker.id, launcher, worker.launcher_bell,
                    std::move(output.write), std::move(errors.write), output.read.get(),
                    errors.read.get(), worker.settings, worker.number});
    return child;
}

pid_t start_fresh(const NewWorker& worker, const Pipe& output, const Pipe& errors) {
    const WorkerSettings& settings = *worker.settings;
    Handover handover;
    handover.id = worker.id;
    handover.owner = worker.owner;
    handover.launcher = getpid();
    handover.segment = worker.segment->file();
    handover.launcher_bell = worker.launcher_bell;
    handover.output_read = output.read.get();
    handover.errors_read = errors.read.get();
    handover.memory_limit = settings.memory_limit;
    handover.threaded_blas = settings.threaded_blas;
    const auto prepare = [&] {
        prepare_process(handover.launcher, output.write, errors.write);
        keep_files_across_exec(handover.files());
        enter_directory(settings.directory);
        pin_to_processors(settings, worker.number);
    };
    return start_program(
        {settings.program, settings.arguments, fresh_environment(settings, handover), prepare});
}

} // namespace

StartedWorker start_worker(const NewWorker& worker) {
    Pipe output = make_pipe();
    Pipe errors = make_pipe();
    const pid_t child = worker.settings->fresh ? start_fresh(worker, output, errors)
                                               : start_fork(worker, output, errors);
    if (child <= 0) // to signal "process" -1 is to signal them all
        throw std::logic_error("a worker was started and has no process");
    fcntl(output.read.get(), F_SETFL, O_NONBLOCK);
    fcntl(errors.read.get(), F_SETFL, O_NONBLOCK);
    StartedWorker started{child, os::open_pidfd(child), std::move(output.read),
                          std::move(errors.read)};
    if (!started.pidfd) { // its death would never be seen
        const int error = errno;
        kill(child, SIGKILL);
        waitpid(child, nullptr, 0);
        errno = error;
        throw_errno("cannot watch a worker");
    }
    return started;
}

} // namespace dshm::launch
