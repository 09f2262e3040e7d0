#include "dshm/os/process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace dshm::os {

namespace {

char* command_line = nullptr;
std::size_t command_line_size = 0;

} // namespace

Fd open_pidfd(pid_t process) { return Fd(static_cast<int>(syscall(SYS_pidfd_open, process, 0))); }

bool has_ended(const Fd& pidfd) noexcept {
    if (!pidfd)
        return true;
    pollfd entry{pidfd.get(), POLLIN, 0};
    return poll(&entry, 1, 0) == 1;
}

bool die_with_parent(pid_t expected_parent) noexcept {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return getppid() == expected_parent;
}

void remember_command_line(int argc, char** argv) noexcept {
    if (argc <= 0 || argv == nullptr || argv[0] == nullptr)
        return;
    char* end = argv[0];
    for (int i = 0; i < argc && argv[i] == end; ++i)
        end += std::strlen(argv[i]) + 1;
    command_line = argv[0];
    command_line_size = static_cast<std::size_t>(end - argv[0]);
}

void set_process_title(const std::string& title) noexcept {
    prctl(PR_SET_NAME, title.c_str());
    if (command_line_size == 0)
        return;
    std::memset(command_line, 0, command_line_size);
    std::strncpy(command_line, title.c_str(), command_line_size - 1);
}

std::vector<std::string> own_arguments() {
    std::vector<std::string> arguments;
    std::FILE* line = std::fopen("/proc/self/cmdline", "re");
    if (line == nullptr)
        return arguments;
    std::string argument;
    for (int c; (c = std::fgetc(line)) != EOF;)
        if (c != 0)
            argument += static_cast<char>(c);
        else
            arguments.push_back(std::exchange(argument, {}));
    std::fclose(line);
    return arguments;
}

void open_standard_streams() noexcept {
    int file = 0;
    while (file >= 0 && file <= STDERR_FILENO)
        file = open("/dev/null", O_RDWR);
    if (file > STDERR_FILENO)
        close(file);
}

void reset_signals() noexcept {
    for (int number = 1; number < NSIG; ++number)
        signal(number, number == SIGXFSZ ? SIG_IGN : SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

void ignore_file_size_signal() noexcept {
    struct sigaction now {};
    if (sigaction(SIGXFSZ, nullptr, &now) == 0 && now.sa_handler == SIG_DFL)
        signal(SIGXFSZ, SIG_IGN);
}

int thread_count() noexcept {
    std::FILE* status = std::fopen("/proc/self/status", "re");
    if (status == nullptr)
        return 1;
    int threads = 1;
    char line[256];
    while (std::fgets(line, sizeof line, status) != nullptr)
        if (std::sscanf(line, "Threads: %d", &threads) == 1)
            break;
    std::fclose(status);
    return threads;
}

namespace {

// Longer than what comes before the 23rd field, with the longest numbers and name.
using StatText = std::array<char, 1024>;

// What /proc says of a process behind its name, which may hold anything, and which the last ')' ends:
// " R 1 ...". Null when it is not there, or cannot be looked at: errno says why.
const char* status_fields(pid_t process, StatText& text) noexcept {
    char path[64];
    std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(process));
    const Fd stat(open(path, O_RDONLY | O_CLOEXEC));
    if (!stat)
        return nullptr;
    errno = 0;
    const ssize_t size = read(stat.get(), text.data(), text.size() - 1);
    text[size < 0 ? 0 : static_cast<std::size_t>(size)] = '\0';
    const char* const name_end = std::strrchr(text.data(), ')');
    return name_end == nullptr ? nullptr : name_end + 1;
}

} // namespace

bool is_stopped(pid_t process) noexcept {
    StatText text{};
    const char* fields = status_fields(process, text);
    return fields != nullptr && (fields[1] == 'T' || fields[1] == 't');
}

bool is_shortage(int error) noexcept {
    return error == EMFILE || error == ENFILE || error == ENOMEM;
}

std::optional<std::uint64_t> start_of_process(pid_t process) noexcept {
    constexpr int fields_before = 19; // from the state on; proc(5) counts it as the third of 22
    StatText text{};
    const char* at = status_fields(process, text);
    if (at == nullptr && is_shortage(errno))
        return std::nullopt;
    for (int i = 0; i < fields_before && at != nullptr; ++i)
        at = std::strchr(at + 1, ' ');
    return at == nullptr ? 0 : std::strtoull(at, nullptr, 10);
}

bool send_signal(const Fd& pidfd, int number) noexcept {
    return syscall(SYS_pidfd_send_signal, pidfd.get(), number, nullptr, 0) == 0;
}

namespace {

// In sanitizer builds their own handlers are here, which must not end a process in their way.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool sanitizer_handles_faults = true;
#elif defined(__has_feature)
constexpr bool sanitizer_handles_faults =
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool sanitizer_handles_faults = false;
#endif

bool is_fault(int number) {
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
}

} // namespace

void reset_signals_for_worker() noexcept {
    std::array<struct sigaction, NSIG> before{};
    for (int number = 1; number < NSIG; ++number)
        if (is_fault(number) && !sanitizer_handles_faults)
            sigaction(number, nullptr, &before[static_cast<std::size_t>(number)]);
    reset_signals();
    for (int number = 1; number < NSIG; ++number)
        if (is_fault(number) && !sanitizer_handles_faults)
            sigaction(number, &before[static_cast<std::size_t>(number)], nullptr);
}

std::string signal_name(int number) {
    if (const char* name = sigabbrev_np(number))
        return std::string("SIG") + name;
    if (number >= SIGRTMIN && number <= SIGRTMAX)
        return number == SIGRTMIN ? "SIGRTMIN" : "SIGRTMIN+" + std::to_string(number - SIGRTMIN);
    return "signal " + std::to_string(number);
}

std::string describe_wait_status(int status) {
    if (WIFSIGNALED(status))
        return "killed by " + signal_name(WTERMSIG(status)) +
               (WCOREDUMP(status) ? " (core dumped)" : "") +
               ((status & killed_for_memory) != 0 ? " (out of memory)" : "");
    return "exit code " + std::to_string(WEXITSTATUS(status));
}

} // namespace dshm::os
