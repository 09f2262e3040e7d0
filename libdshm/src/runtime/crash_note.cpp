#include "dshm/runtime/crash_note.hpp"

#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "dshm/os/backtrace.hpp"
#include "dshm/os/faults.hpp"
#include "dshm/os/process.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/ship/stack_text.hpp"
#include "thread_state.hpp"

namespace dshm::runtime {

namespace {

// Below it lies how the worker came to run the task.
constexpr std::string_view runs_the_task = "_ZN4dshm7runtime8run_task";

CrashNote* own_note = nullptr;
WorkerId own_id = 0;
pid_t serving_thread = 0;
os::Backtrace backtrace;

// ---- in the handler ------------------------------------------------------------------------------

template <std::size_t N>
void copy_text(std::array<char, N>& target, std::string_view text) {
    const std::size_t size = std::min(text.size(), N - 1);
    std::memcpy(target.data(), text.data(), size);
    target[size] = '\0';
}

void write_calls(CrashNote& note) {
    note.size.store(0, std::memory_order_release); // release: before the text changes
    const std::size_t size = backtrace.write(note.text, runs_the_task);
    // release: the launcher reads the text when this process has ended.
    note.size.store(static_cast<std::uint32_t>(size), std::memory_order_release);
}

// The thread's own state is looked at only where it has been before: elsewhere the first look may
// allocate.
void write_facts(CrashNote& note, const os::Crash& crash) {
    note.number = crash.number;
    note.code = crash.info->si_code;
    note.address = reinterpret_cast<std::uintptr_t>(crash.info->si_addr);
    note.thread = static_cast<std::uint32_t>(gettid());
    note.size.store(0, std::memory_order_relaxed); // relaxed: before the key
    note.thread_name.fill('\0');
    note.task.fill('\0');
    if (gettid() == serving_thread)
        copy_text(note.task, thread_state.stack.task_name);
    else if (pthread_getname_np(pthread_self(), note.thread_name.data(), note.thread_name.size()) !=
                 0 ||
             note.thread_name[0] == '\0')
        copy_text(note.thread_name, "?");
    note.key.store(static_cast<std::uint64_t>(own_id), std::memory_order_release);
}

// What stdio has not written yet, without its lock. It may lose or double what is written just now.
void show_buffered_output(void*) {
#if defined(__GLIBC__)
    const char* at = stdout->_IO_write_base;
    const char* const end = stdout->_IO_write_ptr;
    while (at != nullptr && at < end) {
        const ssize_t done = ::write(STDOUT_FILENO, at, static_cast<std::size_t>(end - at));
        if (done <= 0)
            return;
        at += done;
    }
#endif
}

void write_crash(const os::Crash& crash) {
    write_facts(*own_note, crash);
    os::survives([](void* context) { backtrace.walk(context); }, crash.context);
    os::survives([](void*) { backtrace.find_modules(); }, nullptr);
    write_calls(*own_note);
    os::survives([](void*) { backtrace.find_names(); }, nullptr);
    if (!os::survives([](void*) { write_calls(*own_note); }, nullptr)) {
        backtrace.forget_names();
        write_calls(*own_note);
    }
    os::survives(&show_buffered_output, nullptr);
}

// ---- in the launcher -----------------------------------------------------------------------------

bool has_address(int number) {
    return number == SIGSEGV || number == SIGBUS || number == SIGFPE || number == SIGILL;
}

// What is said of a fault beside its signal.
const char* meaning(int number, int code) {
    switch (number) {
    case SIGSEGV:
        return code == SEGV_MAPERR   ? "where nothing is mapped"
               : code == SEGV_ACCERR ? "where this is not allowed"
                                     : "";
    case SIGBUS:
        return code == BUS_ADRALN   ? "which is not aligned"
               : code == BUS_ADRERR ? "which the file does not have"
                                    : "";
    case SIGFPE:
        return code == FPE_INTDIV   ? "a division by zero"
               : code == FPE_INTOVF ? "an overflow of integers"
                                    : "";
    case SIGILL:
        return "no instruction of this processor";
    default:
        return "";
    }
}

std::string fault_text(const CrashNote& note) {
    if (!has_address(note.number) || note.code <= 0)
        return {};
    if (note.number == SIGSEGV && note.code == SI_KERNEL)
        return "an address that no memory can have";
    std::array<char, 32> digits{};
    std::snprintf(digits.data(), digits.size(), "0x%llx",
                  static_cast<unsigned long long>(note.address));
    const std::string what = meaning(note.number, note.code);
    return std::string("address ") + digits.data() + (what.empty() ? "" : ", ") + what;
}

// What a mad process has written may be anything.
std::string printable(std::string_view text) {
    std::string shown(text);
    for (char& c : shown)
        if (static_cast<unsigned char>(c) < ' ')
            c = '?';
    return shown;
}

std::string thread_text(const CrashNote& note) {
    const std::string_view name(note.thread_name.data(),
                                strnlen(note.thread_name.data(), note.thread_name.size()));
    if (name.empty())
        return {};
    return "thread " + std::to_string(note.thread) +
           (name == "?" ? std::string() : " '" + printable(name) + "'") +
           ", which does not run tasks";
}

} // namespace

void note_crashes(const Process& process) {
    os::Backtrace::prepare();
    own_note = &process.area().crash;
    own_id = process.id();
    serving_thread = gettid();
    os::on_crash(&write_crash);
}

CrashText read_crash(const ProcessArea& area, int worker) {
    const CrashNote& note = area.crash;
    // acquire: the facts were written before.
    if (worker <= 0 ||
        note.key.load(std::memory_order_acquire) != static_cast<std::uint64_t>(worker))
        return {};
    CrashText text;
    text.task = printable({note.task.data(), strnlen(note.task.data(), note.task.size())});
    text.where = fault_text(note);
    if (const std::string thread = thread_text(note); !thread.empty())
        text.where += (text.where.empty() ? "" : "; ") + thread;
    const std::size_t size = note.size.load(std::memory_order_acquire);
    if (size <= note.text.size())
        text.calls = ship::readable_calls({note.text.data(), size});
    return text;
}

} // namespace dshm::runtime
