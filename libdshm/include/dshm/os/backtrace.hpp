// Where a thread was when a signal came, as text, from inside the handler of the signal.
//
// Allocates nothing, takes no lock and asks nothing of the loader that waits for anybody: the thread
// may have been interrupted in malloc, with its lock held. A step that ends in a fault of its own,
// because the stack is damaged or a file was cut, may be left where it is: what came before stays.
// One thread at a time, on an object that has been made before.
//
//     backtrace.walk(context);      // the calls, from the one that was interrupted outwards
//     backtrace.find_modules();     // the files that they lie in
//     backtrace.find_names();       // the functions, as the linker calls them
//     backtrace.write(room, "_ZN3app4mainE");
//
// Sources: the Itanium C++ ABI's unwinder; _dl_find_object of glibc, which takes no lock.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace dshm::os {

class Backtrace {
public:
    static constexpr std::size_t most_first = 32; // of a deep stack: as many inner calls
    static constexpr std::size_t most_last = 48;  // and outer ones
    static constexpr std::size_t most_modules = 16;
    // A stack that goes round in circles ends here.
    static constexpr std::size_t deepest = 1'000'000;

    // Before the first signal: what the unwinder and the linker do once is done now.
    static void prepare() noexcept;

    // `context`: of the handler, a ucontext_t. It may be changed: who goes on with it keeps a copy.
    void walk(void* context) noexcept;
    void find_modules() noexcept;
    // Reads the symbol tables of the files: about a millisecond.
    void find_names() noexcept;
    void forget_names() noexcept;
    // One line a call, "name [module+0x4f21]", the innermost first; nothing from the first function on
    // whose name begins with `last`. Gives the bytes written; lines that do not fit are left out.
    std::size_t write(std::span<char> room, std::string_view last) const noexcept;

private:
    struct Frame {
        std::uintptr_t address = 0;
        std::size_t module = most_modules; // none
        std::string_view name;             // in the mapped file
    };
    struct Module {
        const char* path = nullptr; // empty: the program
        std::uintptr_t base = 0;    // what the loader added to the addresses in the file
        const void* first = nullptr;
    };

    void add(std::uintptr_t address) noexcept;
    std::size_t kept() const noexcept { return std::min(count_, most_first + most_last); }
    std::size_t place_of(std::size_t frame) const noexcept;
    std::size_t module_of(std::uintptr_t address) noexcept;
    void find_names_in(std::size_t module) noexcept;

    std::array<Frame, most_first + most_last> frames_;
    std::array<Module, most_modules> modules_;
    std::size_t count_ = 0; // frames met; those between the first and the last are forgotten
    std::size_t module_count_ = 0;
};

} // namespace dshm::os
