#include "dshm/os/faults.hpp"

#include <setjmp.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <mutex>
#include <utility>

#include "dshm/base/bits.hpp"
#include "dshm/os/stack.hpp"

namespace dshm::os {

// Entries are used again and never freed: the handler may come while another thread takes a note
// back. What it then says may be wrong, in a process that dies of its own misuse.
struct FaultNote::Entry {
    std::atomic<std::uintptr_t> first{0};
    std::atomic<std::uintptr_t> last{0}; // 0: not in use
    std::string forbidden;
    std::string missing;
    Entry* next = nullptr; // does not change
};

namespace {

std::mutex entries_lock; // over entries in and out of use
std::atomic<FaultNote::Entry*> entries{nullptr};
void (*overflow_report)() = nullptr;

constexpr std::array crash_signals = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
// A report that waits for what nobody gives back is ended after this long.
constexpr long longest_report_seconds = 2;

void (*crash_report)(const Crash&) = nullptr; // set before the handlers
pid_t crash_process = 0;                      // where it was set: not a child of that

std::atomic<pid_t> reporter{0};          // the thread whose crash is reported
volatile std::sig_atomic_t reported = 0; // its signal
sigjmp_buf* volatile way_out = nullptr;  // of the step of the report that may fail

// ---- the handler: only what a signal handler may do ---------------------------------------------

// Near the stack pointer: what lies on a stack is touched from there.
bool is_overflow(const siginfo_t& info, const void* context) {
#if defined(__x86_64__)
    const auto* machine = static_cast<const ucontext_t*>(context);
    const auto pointer = static_cast<std::uintptr_t>(machine->uc_mcontext.gregs[REG_RSP]);
    const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
    return address + stack_guard_size > pointer && address < pointer + stack_guard_size;
#else
    static_cast<void>(context);
    return info.si_code == SEGV_ACCERR;
#endif
}

const FaultNote::Entry* note_at(std::uintptr_t address) {
    // acquire, edge `fault-note`, here and below: the texts were written before.
    const FaultNote::Entry* entry = entries.load(std::memory_order_acquire);
    while (entry != nullptr && (address >= entry->last.load(std::memory_order_acquire) ||
                                address < entry->first.load(std::memory_order_relaxed)))
        entry = entry->next; // relaxed: written before `last`
    return entry;
}

void explain(int number, const siginfo_t& info, const void* context) {
    if (const auto* note = note_at(reinterpret_cast<std::uintptr_t>(info.si_addr))) {
        const std::string& text = number == SIGBUS ? note->missing : note->forbidden;
        static_cast<void>(!::write(STDERR_FILENO, text.data(), text.size()));
    } else if (number == SIGSEGV && overflow_report != nullptr && is_overflow(info, context)) {
        overflow_report();
    }
}

// Ends the process as the signal would have without us.
void die_of(int number) {
    sigset_t this_one;
    sigemptyset(&this_one);
    sigaddset(&this_one, number);
    std::signal(number, SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &this_one, nullptr);
    std::raise(number);
}

void give_up(int) { die_of(reported); }

void limit_report() {
    struct sigaction action {};
    action.sa_handler = &give_up;
    action.sa_flags = SA_ONSTACK;
    sigaction(SIGALRM, &action, nullptr);
    sigset_t alarms;
    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarms, nullptr);
    const itimerval once{{0, 0}, {longest_report_seconds, 0}};
    setitimer(ITIMER_REAL, &once, nullptr);
}

// A report may change the context: what is tried again afterwards is the instruction of the fault.
void report(int number, siginfo_t* info, void* context) {
    auto& machine = static_cast<ucontext_t*>(context)->uc_mcontext;
    const mcontext_t before = machine;
    crash_report({number, info, context});
    machine = before;
}

// Whoever comes while another thread's crash is reported waits for the end of both.
void begin_report(int number) {
    const pid_t here = gettid();
    pid_t nobody = 0;
    // relaxed: one thread asks for itself, the others wait.
    if (!reporter.compare_exchange_strong(nobody, here, std::memory_order_relaxed)) {
        if (nobody == here && way_out != nullptr)
            siglongjmp(*way_out, 1);
        if (nobody == here)
            die_of(reported);
        for (;;)
            pause();
    }
    reported = number;
    limit_report();
}

void handle_fault(int number, siginfo_t* info, void* context) {
    const bool reports = crash_report != nullptr && crash_process == getpid();
    if (reports)
        begin_report(number);
    const bool sent_by_somebody = info->si_code <= 0;
    if (!sent_by_somebody)
        explain(number, *info, context);
    if (reports)
        report(number, info, context);
    std::signal(number, SIG_DFL);
    if (sent_by_somebody) // else the instruction is tried again, which ends it
        std::raise(number);
}

bool is_free(int number) noexcept {
    struct sigaction now {};
    if (sigaction(number, nullptr, &now) != 0)
        return false;
    return (now.sa_flags & SA_SIGINFO) != 0 ? now.sa_sigaction == &handle_fault
                                            : now.sa_handler == SIG_DFL;
}

void handle(int number) noexcept {
    if (!is_free(number))
        return;
    struct sigaction action {};
    action.sa_sigaction = &handle_fault;
    // A fault in the handler comes to it again, and ends what it was at.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(number, &action, nullptr);
}

FaultNote::Entry* unused_entry() {
    for (auto* entry = entries.load(std::memory_order_relaxed); entry != nullptr;
         entry = entry->next) // relaxed: under the lock
        if (entry->last.load(std::memory_order_relaxed) == 0)
            return entry;
    auto* const entry = new FaultNote::Entry;
    entry->next = entries.load(std::memory_order_relaxed); // relaxed: under the lock
    entries.store(entry, std::memory_order_release);
    return entry;
}

} // namespace

namespace {

bool make_signal_stack() noexcept {
    static std::byte signal_stack[64 * 1024];
    stack_t alternate{};
    alternate.ss_sp = signal_stack;
    alternate.ss_size = sizeof signal_stack;
    return sigaltstack(&alternate, nullptr) == 0;
}

} // namespace

void on_crash(void (*report)(const Crash&)) noexcept {
    if (is_free(SIGSEGV)) // else the program's handler may lie on a stack of its own
        make_signal_stack();
    crash_report = report;
    crash_process = getpid();
    for (const int number : crash_signals)
        handle(number);
}

bool survives(void (*step)(void*), void* argument) noexcept {
    sigjmp_buf out;
    way_out = &out;
    const bool whole = sigsetjmp(out, 0) == 0;
    if (whole)
        step(argument);
    way_out = nullptr;
    return whole;
}

void on_stack_overflow(void (*report)()) noexcept {
    if (!is_free(SIGSEGV) || !make_signal_stack())
        return;
    overflow_report = report;
    handle(SIGSEGV);
}

FaultNote::FaultNote(const std::byte* first, std::size_t size, std::string forbidden,
                     std::string missing) {
    const std::lock_guard guard(entries_lock);
    handle(SIGSEGV);
    handle(SIGBUS);
    entry_ = unused_entry();
    entry_->forbidden = std::move(forbidden);
    entry_->missing = std::move(missing);
    const auto begin = reinterpret_cast<std::uintptr_t>(first);
    entry_->first.store(begin, std::memory_order_relaxed);       // relaxed: before `last`
    entry_->last.store(begin + size, std::memory_order_release); // edge `fault-note`
}

FaultNote::FaultNote(FaultNote&& other) noexcept : entry_(std::exchange(other.entry_, nullptr)) {}

FaultNote& FaultNote::operator=(FaultNote&& other) noexcept {
    std::swap(entry_, other.entry_);
    return *this;
}

FaultNote::~FaultNote() {
    if (entry_ == nullptr)
        return;
    const std::lock_guard guard(entries_lock);
    entry_->last.store(0, std::memory_order_relaxed); // relaxed: under the lock
}

} // namespace dshm::os
