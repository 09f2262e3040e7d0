// Where exceptions of a task were thrown: their stacks are gone when they are caught, so they are
// noted when they are thrown.
//
// The library defines __cxa_throw, which every `throw` calls, and hands on to the language runtime's
// own (or to a sanitizer's, which does the same). A throw while this thread runs a task costs some
// microseconds more, any other a few nanoseconds, and what throws nothing costs nothing. `throw;`
// and std::rethrow_exception go other ways, so an exception keeps the stack of its first throw. In a
// program that is linked statically with libstdc++, ours may not be called: stacks are empty then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <span>
#include <typeinfo>

namespace dshm::ship {

class ThrowRecorder {
public:
    static constexpr std::size_t most_frames = 64;

    // Around the run of one task, in the function that calls it; frames of that function and of its
    // callers are not recorded. Belongs to its thread, or to the stack that it lies on: see exchange.
    class Scope {
    public:
        Scope() noexcept;
        ~Scope();
        Scope(const Scope&) = delete;
        Scope& operator=(const Scope&) = delete;

    private:
        friend class ThrowRecorder;

        struct Throw {
            const void* exception;
            const std::type_info* type;
            std::size_t size;
            std::array<std::uintptr_t, most_frames> calls;
        };
        // An exception may be caught while others are thrown and caught on its way out.
        static constexpr std::size_t most_throws = 4;

        Scope* outer_;
        std::uintptr_t end_of_stack_; // frames beyond are not the task's
        // Made at the first throw: few tasks throw, and 2 KiB of every task's stack is much.
        struct Throws {
            std::size_t next = 0;
            std::array<Throw, most_throws> last{};
        };
        std::unique_ptr<Throws> throws_;
    };

    // The calls that led to the throw of this exception, the innermost first, as addresses in this
    // process; nothing if the current scope has not seen it.
    static std::span<const std::uintptr_t> calls_of(const std::exception_ptr& exception) noexcept;

    // For whoever goes on with another stack in the middle of a task: makes the scope of that stack
    // current (null for none), gives the one of this.
    static Scope* exchange(Scope* scope) noexcept;

    // Called by __cxa_throw; `caller` is where it returns to.
    static void record(const void* exception, const std::type_info* type,
                       const void* caller) noexcept;
};

} // namespace dshm::ship
