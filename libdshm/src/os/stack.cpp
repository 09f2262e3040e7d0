#include "dshm/os/stack.hpp"

#include <sys/mman.h>
#include <sys/resource.h>
#include <ucontext.h>

#include <algorithm>
#include <csignal>
#include <cstdint>

#include "dshm/base/bits.hpp"

namespace dshm::os {

namespace {

// More than a page, because a large frame may step over one.
constexpr std::size_t guard_size = 16 * base::page_size;
constexpr std::size_t smallest_stack = base::mebibytes(1) / 4, default_stack = base::mebibytes(8),
                      largest_stack = base::mebibytes(64);

void (*overflow_report)() = nullptr;

// Near the stack pointer: what lies on a stack is touched from there.
bool is_overflow(const siginfo_t& info, const void* context) {
#if defined(__x86_64__)
    const auto* machine = static_cast<const ucontext_t*>(context);
    const auto pointer = static_cast<std::uintptr_t>(machine->uc_mcontext.gregs[REG_RSP]);
    const auto address = reinterpret_cast<std::uintptr_t>(info.si_addr);
    return address + guard_size > pointer && address < pointer + guard_size;
#else
    static_cast<void>(context);
    return info.si_code == SEGV_ACCERR;
#endif
}

void handle_fault(int number, siginfo_t* info, void* context) {
    if (is_overflow(*info, context))
        overflow_report();
    std::signal(number, SIG_DFL);
    if (info->si_code <= 0) // sent by somebody; else the instruction is tried again, which ends it
        std::raise(number);
}

} // namespace

std::optional<GuardedStack> GuardedStack::map(std::size_t size) noexcept {
    size = base::round_up(size, base::page_size);
    void* start = mmap(nullptr, guard_size + size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (start == MAP_FAILED)
        return std::nullopt;
    if (mprotect(start, guard_size, PROT_NONE) != 0) {
        munmap(start, guard_size + size);
        return std::nullopt;
    }
    return GuardedStack(static_cast<std::byte*>(start) + guard_size, size);
}

GuardedStack::~GuardedStack() {
    if (lowest_ != nullptr)
        munmap(lowest_ - guard_size, guard_size + size_);
}

void on_stack_overflow(void (*report)()) noexcept {
    struct sigaction now {};
    if (sigaction(SIGSEGV, nullptr, &now) != 0 || now.sa_handler != SIG_DFL)
        return;
    static std::byte signal_stack[64 * 1024];
    stack_t alternate{};
    alternate.ss_sp = signal_stack;
    alternate.ss_size = sizeof signal_stack;
    if (sigaltstack(&alternate, nullptr) != 0)
        return;
    overflow_report = report;
    struct sigaction action {};
    action.sa_sigaction = &handle_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
}

std::size_t usual_stack_size() noexcept {
    rlimit limit{};
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return default_stack;
    return std::clamp<std::size_t>(limit.rlim_cur, smallest_stack, largest_stack);
}

} // namespace dshm::os
