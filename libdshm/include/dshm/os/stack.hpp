// A stack of its own for code that waits: address space with a guard below it.
#pragma once

#include <cstddef>
#include <optional>
#include <utility>

#include "dshm/base/bits.hpp"

namespace dshm::os {

// Below a stack. More than a page, because a large frame may step over one.
inline constexpr std::size_t stack_guard_size = 16 * base::page_size;

// Memory is taken as it is touched. What runs over the lower end touches the guard and dies.
class GuardedStack {
public:
    // Nothing when the system gives no more address space.
    static std::optional<GuardedStack> map(std::size_t size) noexcept;

    GuardedStack(GuardedStack&& other) noexcept
        : lowest_(std::exchange(other.lowest_, nullptr)), size_(other.size_) {}
    GuardedStack& operator=(GuardedStack&&) = delete;
    ~GuardedStack();

    // [lowest, lowest + size) is usable.
    std::byte* lowest() const noexcept { return lowest_; }
    std::size_t size() const noexcept { return size_; }

private:
    GuardedStack(std::byte* lowest, std::size_t size) : lowest_(lowest), size_(size) {}

    std::byte* lowest_;
    std::size_t size_;
};

// What threads of this process get: RLIMIT_STACK, 8 MiB when that is unlimited.
std::size_t usual_stack_size() noexcept;

} // namespace dshm::os
