// Process identity, life and death.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "dshm/os/mapping.hpp"

namespace dshm::os {

// A descriptor that becomes readable when the process ends. Empty when the process is gone.
Fd open_pidfd(pid_t process);

// True once the process behind the descriptor has ended.
bool has_ended(const Fd& pidfd) noexcept;

// When the process was started, in ticks since the machine was: tells it from a later one of the same
// number. 0 when there is none, or it is not seen from here; nothing when this process cannot look now,
// for want of file descriptors or memory.
std::optional<std::uint64_t> start_of_process(pid_t process) noexcept;

// Whether a call failed for want of file descriptors or memory, and may succeed later.
bool is_shortage(int error) noexcept;

// Asks the kernel to kill this process when the *thread* that forked it ends, and checks that this
// has not happened yet: false means that the parent is already another one.
bool die_with_parent(pid_t expected_parent) noexcept;

// Shown by ps and top: sets both the thread's name and, where it fits, the command line.
void set_process_title(const std::string& title) noexcept;
// Remembers where the command line lies. Call once with main's argv, before the first
// set_process_title.
void remember_command_line(int argc, char** argv) noexcept;

// What this process was started with, its name first. Empty where /proc is missing.
std::vector<std::string> own_arguments();

// Opens /dev/null on those of the descriptors 0 to 2 that are closed: files opened later must not
// land there.
void open_standard_streams() noexcept;

// Every signal back to its default, none blocked; but SIGXFSZ is ignored, so that a segment larger
// than RLIMIT_FSIZE is an error and not a death.
void reset_signals() noexcept;

// The same, but handlers of faults (SIGSEGV, SIGBUS, SIGFPE, SIGILL) stay: a program may work by them.
void reset_signals_for_worker() noexcept;

// Past RLIMIT_FSIZE a segment's memory is an error at the call and not a death from now on; but a
// program that handles SIGXFSZ itself is left to that.
void ignore_file_size_signal() noexcept;

// Threads of this process, from /proc/self/status; 1 when that cannot be read.
int thread_count() noexcept;

// Stopped by a signal (SIGSTOP, Ctrl-Z), from /proc.
bool is_stopped(pid_t process) noexcept;

// False when the process has ended or may not be signalled.
bool send_signal(const Fd& pidfd, int number) noexcept;

// "SIGKILL", "SIGSEGV", "SIGRTMIN+3", ... or "signal 32".
std::string signal_name(int number);

// Added to a status of waitpid, of which it is no part: the kernel did it because memory ran out.
inline constexpr int killed_for_memory = 1 << 16;

// "exit code 3", "killed by SIGKILL (out of memory)", "killed by SIGSEGV (core dumped)", from a status
// of waitpid.
std::string describe_wait_status(int status);

} // namespace dshm::os
