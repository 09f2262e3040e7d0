#include "dshm/os/stack.hpp"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>

#include "dshm/base/bits.hpp"

namespace dshm::os {

namespace {

constexpr std::size_t guard_size = stack_guard_size;
constexpr std::size_t smallest_stack = base::mebibytes(1) / 4, default_stack = base::mebibytes(8),
                      largest_stack = base::mebibytes(64);

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

std::size_t usual_stack_size() noexcept {
    rlimit limit{};
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return default_stack;
    return std::clamp<std::size_t>(limit.rlim_cur, smallest_stack, largest_stack);
}

} // namespace dshm::os
