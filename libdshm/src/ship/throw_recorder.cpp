#include "dshm/ship/throw_recorder.hpp"

#include <dlfcn.h>
#include <unwind.h>

#include <atomic>
#include <cstring>
#include <new>
#include <utility>

#include "dshm/base/check.hpp"

namespace dshm::ship {

namespace {

thread_local constinit ThrowRecorder::Scope* current = nullptr;

// The walk over the frames, from the walker's own outwards.
struct Walk {
    std::uintptr_t from; // where the first frame of interest goes on
    std::uintptr_t end_of_stack;
    std::uintptr_t* calls;
    std::size_t size = 0;
    bool begun = false;
};

_Unwind_Reason_Code note_frame(_Unwind_Context* context, void* argument) {
    Walk& walk = *static_cast<Walk*>(argument);
    int before_instruction = 0; // as in frames that a signal interrupted
    const std::uintptr_t address = _Unwind_GetIPInfo(context, &before_instruction);
    walk.begun |= address == walk.from;
    if (!walk.begun)
        return _URC_NO_REASON;
    if (address == 0 || walk.size == ThrowRecorder::most_frames ||
        _Unwind_GetCFA(context) >= walk.end_of_stack)
        return _URC_END_OF_STACK;
    walk.calls[walk.size++] =
        address - (before_instruction != 0 ? 0 : 1); // in the call, not behind
    return _URC_NO_REASON;
}

// An exception_ptr is the address of its exception (libstdc++).
const void* object_of(const std::exception_ptr& exception) {
    static_assert(sizeof exception == sizeof(const void*), "as libstdc++ has it");
    const void* object;
    std::memcpy(&object, &exception, sizeof object);
    return object;
}

} // namespace

// Not inlined: its own frame then ends where the caller's stack pointer stood, and stands again at
// the caller's other calls.
[[gnu::noinline]] ThrowRecorder::Scope::Scope() noexcept : outer_(std::exchange(current, this)) {
#if defined(__x86_64__)
    end_of_stack_ = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0)) + 16;
#else
    end_of_stack_ = reinterpret_cast<std::uintptr_t>(this);
#endif
}

ThrowRecorder::Scope::~Scope() { current = outer_; }

std::span<const std::uintptr_t>
ThrowRecorder::calls_of(const std::exception_ptr& exception) noexcept {
    const void* object = object_of(exception);
    if (current == nullptr || current->throws_ == nullptr || object == nullptr)
        return {};
    for (const Scope::Throw& thrown : current->throws_->last)
        if (thrown.exception == object && *thrown.type == *exception.__cxa_exception_type())
            return {thrown.calls.data(), thrown.size};
    return {};
}

ThrowRecorder::Scope* ThrowRecorder::exchange(Scope* scope) noexcept {
    return std::exchange(current, scope);
}

void ThrowRecorder::record(const void* exception, const std::type_info* type,
                           const void* caller) noexcept {
    Scope* scope = current;
    if (scope == nullptr)
        return;
    if (scope->throws_ == nullptr)
        scope->throws_.reset(new (std::nothrow) Scope::Throws);
    if (scope->throws_ == nullptr)
        return; // no memory: the exception goes without its stack
    Scope::Throws& throws = *scope->throws_;
    Scope::Throw& thrown = throws.last[throws.next++ % Scope::most_throws];
    for (Scope::Throw& earlier : throws.last)
        if (earlier.exception == exception) // its memory is used again
            earlier.exception = nullptr;
    Walk walk{reinterpret_cast<std::uintptr_t>(caller), scope->end_of_stack_, thrown.calls.data()};
    _Unwind_Backtrace(&note_frame, &walk);
    thrown.exception = exception;
    thrown.type = type;
    thrown.size = walk.size;
}

} // namespace dshm::ship

// __cxa_throw, under a name that the compiler does not know to be without return: so the last call
// is a jump, and the unwinder meets no frame of ours. Weak, so that a program with libstdc++ linked
// into it has one definition and not two.
using Throw = void (*)(void*, std::type_info*, void (*)(void*));
extern "C" [[gnu::weak]] void dshm_noted_throw(void* exception, std::type_info* type,
                                               void (*destroy)(void*)) __asm__("__cxa_throw");

namespace {

Throw find_next_throw() { return reinterpret_cast<Throw>(::dlsym(RTLD_NEXT, "__cxa_throw")); }

constinit std::atomic<Throw> next_throw{nullptr};

// As the program starts, not at the first throw: that may be in a child of a program with threads,
// which must not ask the loader, because another thread may have held its lock. Null where ours is
// not in use.
[[gnu::constructor]] void find_early() {
    next_throw.store(find_next_throw(), std::memory_order_relaxed); // relaxed: before any thread
}

} // namespace

void dshm_noted_throw(void* exception, std::type_info* type, void (*destroy)(void*)) {
    dshm::ship::ThrowRecorder::record(exception, type, __builtin_return_address(0));
    // relaxed: threads that race find the same address.
    Throw next = next_throw.load(std::memory_order_relaxed);
    if (next == nullptr) [[unlikely]] // before our constructor
        next_throw.store(next = find_next_throw(), std::memory_order_relaxed); // as above
    DSHM_CHECK(next != nullptr, "no __cxa_throw behind ours: link libstdc++ after libdshm");
    next(exception, type, destroy);
}
