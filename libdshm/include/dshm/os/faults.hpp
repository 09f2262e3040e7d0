// Says why before the process dies of a fault: an overflow of a stack, or a mapping that may not be
// written, or whose file has been cut; and lets somebody write down where it was.
//
// A fault cannot be turned into an exception; what can be done is to say in one line on standard
// error what has happened, and die of it as without us. Does nothing where somebody else handles
// the signal (a sanitizer, the program itself). Notes are given and taken back by any thread.
#pragma once

#include <csignal>
#include <cstddef>
#include <string>

namespace dshm::os {

struct Crash {
    int number; // of the signal
    const siginfo_t* info;
    void* context; // a ucontext_t
};

// From now on `report` is called in any thread of this process, and not in its children, that gets
// SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT, before the process dies of it as without us. It may do
// what a signal handler may, has two seconds, and is called once: in this thread on a stack of its
// own, in others on theirs.
void on_crash(void (*report)(const Crash&)) noexcept;

// For reports: does a step of them. False if that ended in a fault, and was left where it was.
bool survives(void (*step)(void*), void* argument) noexcept;

// From now on a segmentation fault of this thread that is an overflow of its stack, whichever it is
// on, calls `report` before the process dies of it. `report` may do what a signal handler may.
void on_stack_overflow(void (*report)()) noexcept;

// While it lives: what to say of a fault at an address in [first, first + size). Both texts are
// whole lines.
class FaultNote {
public:
    FaultNote() = default;
    // `forbidden` for a write where only reading is allowed, `missing` for an access to what the
    // file does not have any more. Throws std::bad_alloc.
    FaultNote(const std::byte* first, std::size_t size, std::string forbidden, std::string missing);
    FaultNote(FaultNote&& other) noexcept;
    FaultNote& operator=(FaultNote&& other) noexcept;
    ~FaultNote();

    struct Entry; // in a list that the signal handler walks

private:
    Entry* entry_ = nullptr;
};

} // namespace dshm::os
