// Says why before the process dies of a fault: an overflow of a stack, or a mapping that may not be
// written, or whose file has been cut.
//
// A fault cannot be turned into an exception; what can be done is to say in one line on standard
// error what has happened, and die of it as without us. Does nothing where somebody else handles
// the signal (a sanitizer, the program itself). Notes are given and taken back by any thread.
#pragma once

#include <cstddef>
#include <string>

namespace dshm::os {

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
