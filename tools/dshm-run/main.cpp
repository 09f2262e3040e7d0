// dshm-run: runs a program with workers ready.
//
//     dshm-run -n 4 ./program arguments...
//
// Says through the environment what the program's Session should do, starts it, and passes on what
// happens: standard input goes to the program, its exit status (128 + signal when it was killed) is
// ours, and the signals that end us end it. If dshm-run itself is killed, the kernel kills the
// program, and the launcher in it ends the workers.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "dshm/os/cpu.hpp"
#include "dshm/os/process.hpp"
#include "dshm/shm/identity.hpp"

namespace {

constexpr int usage_error = 2;
constexpr int cannot_execute = 126;
constexpr int not_found = 127;

struct Options {
    std::string workers = "auto";
    std::string name;
    std::string affinity;
    std::string capacity;
    std::string start;
    std::string on_worker_death;
    std::string verify; // "true", or a tolerance
    bool untagged = false;
    bool verbose = false;
    std::vector<std::string> program;
};

// A number of workers, or throws CLI::ValidationError.
int worker_count(const std::string& text) {
    if (text == "auto")
        return dshm::os::cpu_count();
    const int most = static_cast<int>(dshm::shm::max_workers);
    std::size_t end = 0;
    int count = 0;
    try {
        count = std::stoi(text, &end);
    } catch (const std::exception&) {
        end = 0;
    }
    if (end != text.size() || count < 1 || count > most)
        throw CLI::ValidationError("-n " + text + ": give a number of workers from 1 to " +
                                   std::to_string(most) + ", or auto");
    return count;
}

// Empty for a start mode, else what is wrong, as CLI11 wants it.
std::string start_mode(const std::string& text) {
    return text == "fork" || text == "exec" ? "" : text + " is neither fork nor exec";
}

// The same for what a session does when a worker dies.
std::string death_mode(const std::string& text) {
    return text == "ignore" || text == "restart" || text == "stop"
               ? ""
               : text + " is none of ignore, restart and stop";
}

// The same for what is behind --verify=; "true" stands for nothing.
std::string tolerance(const std::string& text) {
    char* end = nullptr;
    const double value = std::strtod(text.c_str(), &end);
    const bool number = !text.empty() && *end == '\0' && value >= 0 && value < 1;
    return text == "true" || number ? "" : text + " is not a relative difference such as 1e-12";
}

// What is left of the command line, if it begins with a program.
std::vector<std::string> program_of(const std::vector<std::string>& rest) {
    if (rest.empty())
        throw CLI::ValidationError("which program? give its name after the options");
    if (rest[0].size() > 1 && rest[0][0] == '-')
        throw CLI::ValidationError("there is no option " + rest[0]);
    return rest;
}

void set(const char* name, const std::string& value) {
    if (!value.empty())
        setenv(name, value.c_str(), 1);
}

[[noreturn]] void become_program(const std::vector<std::string>& program) {
    std::vector<char*> arguments;
    for (const std::string& argument : program)
        arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    const int error = errno;
    std::fprintf(stderr, "dshm-run: cannot run '%s': %s\n", arguments[0], std::strerror(error));
    _exit(error == ENOENT ? not_found : cannot_execute);
}

pid_t child = 0;

void pass_on(int number) {
    if (child > 0)
        kill(child, number);
}

void forward_signals() {
    struct sigaction action {};
    action.sa_handler = pass_on;
    action.sa_flags = SA_RESTART;
    for (const int number : {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2})
        sigaction(number, &action, nullptr);
    // The terminal sends these to the program as well: wait for how it takes them.
    action.sa_handler = SIG_IGN;
    for (const int number : {SIGINT, SIGQUIT})
        sigaction(number, &action, nullptr);
}

void default_signals() {
    for (const int number : {SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGINT, SIGQUIT})
        signal(number, SIG_DFL);
}

// One byte arrives when the program makes its Session.
bool made_a_session(int file) {
    char byte = 0;
    return read(file, &byte, 1) == 1;
}

int run(const Options& options, int workers) {
    int ends[2];
    if (pipe(ends) != 0) {
        std::perror("dshm-run: cannot make a pipe");
        return 1;
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    set("DSHM_WORKERS", std::to_string(workers));
    set("DSHM_RUN_FD", std::to_string(ends[1]));
    set("DSHM_NAME", options.name);
    set("DSHM_AFFINITY", options.affinity);
    set("DSHM_CAPACITY", options.capacity);
    set("DSHM_START", options.start);
    set("DSHM_ON_WORKER_DEATH", options.on_worker_death);
    set("DSHM_TAG_OUTPUT", options.untagged ? "0" : "");
    set("DSHM_VERIFY", options.verify.empty() ? "" : "1");
    set("DSHM_VERIFY_TOLERANCE", options.verify == "true" ? "" : options.verify);
    set("DSHM_VERBOSE", options.verbose ? "1" : "");
    forward_signals();
    const pid_t self = getpid();
    child = fork();
    if (child < 0) {
        std::perror("dshm-run: cannot fork");
        return 1;
    }
    if (child == 0) {
        default_signals();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != self)
            _exit(1);
        become_program(options.program);
    }
    close(ends[1]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    const int code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    if (!made_a_session(ends[0]) && code != not_found && code != cannot_execute)
        std::fprintf(stderr,
                     "dshm-run: '%s' ended without making a dshm::Session, so it had no workers; a "
                     "program gets them by "
                     "`dshm::Session session(argc, argv);` as the first statement of main\n",
                     options.program[0].c_str());
    return code;
}

} // namespace

int main(int argc, char** argv) {
    dshm::os::open_standard_streams();
    Options options;
    CLI::App app("Runs a program with workers ready for its dshm::Session.", "dshm-run");
    app.add_option("-n,--workers", options.workers,
                   "number of workers, or auto: one for each processor")
        ->capture_default_str();
    app.add_option("--name", options.name, "name of the session");
    app.add_option("--affinity", options.affinity,
                   "none, compact, balanced or a list of processors such as 0,2");
    app.add_option("--start", options.start,
                   "fork or exec: how workers are started, where the program does not say")
        ->check(start_mode);
    app.add_option("--on-worker-death", options.on_worker_death,
                   "ignore (its task fails), restart (another one is started in its place, and "
                   "repeats its task) or stop (the session ends)")
        ->check(death_mode);
    app.add_option("--capacity", options.capacity,
                   "address space of the segment: bytes, or with K, M or G (powers of 1024)");
    app.add_flag("--verify", options.verify,
                 "run every loop and map serially as well and compare, bit by bit; --verify=1e-12: "
                 "up to that relative difference")
        ->check(tolerance);
    app.add_flag("--no-tag", options.untagged, "show workers' output without 'From worker N:'");
    app.add_flag("--verbose", options.verbose, "say where the segment lies");
    app.prefix_command(); // everything from the program's name on is the program's
    app.footer("dshm-run [OPTIONS] program [arguments...]\nEverything from the program's name on "
               "goes to the program.");
    app.set_version_flag("--version", std::string("dshm-run ") + DSHM_VERSION);
    int workers = 0;
    try {
        app.parse(argc, argv);
        workers = worker_count(options.workers);
        options.program = program_of(app.remaining());
    } catch (const CLI::Success& success) {
        return app.exit(success);
    } catch (const CLI::Error& error) {
        std::fprintf(stderr, "dshm-run: %s; try dshm-run --help\n", error.what());
        return usage_error;
    }
    return run(options, workers);
}
