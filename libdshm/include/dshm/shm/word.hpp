// The one type through which shared words are touched.
//
// A Word<T> lies in the segment. In ordinary builds each operation is that of std::atomic_ref; in
// the crash build (DSHM_CRASH_POINTS, the library `dshm_crash` of the tests) every touch is also a
// kill point: the n-th one of a victim is its last instruction, so a test can stop a process
// between any two steps of a protocol. Orders are always spelled out by the caller.
//
// Zero-filled memory is a valid Word of value zero: fresh pages of the segment need no constructor.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>

namespace dshm::shm {

#ifdef DSHM_CRASH_POINTS
// Counts one touch; kills the calling process at the armed one. Not inlined: its return address is
// the place of the touch in the code.
[[gnu::noinline]] void crash_point() noexcept;
// The `touches`-th touch from now on is the last; 0 disarms.
void arm_crash_point(std::uint64_t touches) noexcept;
// Touches since the last arm_crash_point: how long a scenario is.
std::uint64_t crash_points_seen() noexcept;
// Called before each touch, with its place in the code, in this process and those it forks: what a test
// counts, or kills by. It touches no Word itself. Null: nobody.
using CrashObserver = void (*)(const void* place) noexcept;
void observe_crash_points(CrashObserver observer) noexcept;
#else
inline void crash_point() noexcept {}
#endif

template <class T>
class Word {
    static_assert(std::is_trivially_copyable_v<T>);
    using Ref = std::atomic_ref<T>;
    static_assert(Ref::is_always_lock_free,
                  "a lock inside the atomic would live in one process only");

public:
    T load(std::memory_order order) const noexcept {
        crash_point();
        return ref().load(order);
    }
    void store(T value, std::memory_order order) noexcept {
        crash_point();
        ref().store(value, order);
    }
    T exchange(T value, std::memory_order order) noexcept {
        crash_point();
        return ref().exchange(value, order);
    }
    bool compare_exchange(T& expected, T desired, std::memory_order success,
                          std::memory_order failure) noexcept {
        crash_point();
        return ref().compare_exchange_strong(expected, desired, success, failure);
    }
    T fetch_add(T value, std::memory_order order) noexcept {
        crash_point();
        return ref().fetch_add(value, order);
    }
    T fetch_sub(T value, std::memory_order order) noexcept {
        crash_point();
        return ref().fetch_sub(value, order);
    }
    T fetch_or(T value, std::memory_order order) noexcept {
        crash_point();
        return ref().fetch_or(value, order);
    }
    T fetch_and(T value, std::memory_order order) noexcept {
        crash_point();
        return ref().fetch_and(value, order);
    }

    // The address that a futex system call needs.
    T* address() noexcept { return &value_; }

private:
    Ref ref() const noexcept { return Ref(const_cast<T&>(value_)); }

    alignas(Ref::required_alignment) T value_;
};

using Word32 = Word<std::uint32_t>;
using Word64 = Word<std::uint64_t>;

static_assert(sizeof(Word64) == 8 && alignof(Word64) == 8, "a Word adds nothing to its value");
static_assert(sizeof(Word32) == 4 && alignof(Word32) == 4, "a Word adds nothing to its value");

} // namespace dshm::shm
