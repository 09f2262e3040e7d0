// What the primitives under test are made of while every execution is explored: in place of shm::Word, of memory that is not
// atomic, and of a futex. See explorer.hpp.
//
// A Word has the layout of shm::Word, and zero-filled memory is one of value zero. Outside an exploration it is plain memory.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "interleave/explorer.hpp"

namespace interleave {

// The arguments behind the orders are the line that an operation stands on.
template <class T>
class Word {
    using Order = std::memory_order;
    using Text = const char*;

public:
    T load(Order order, Text file = __builtin_FILE(), unsigned line = __builtin_LINE(),
           Text function = __builtin_FUNCTION()) const {
        return go({Op::load, at(), sizeof(T), 0, 0, order, order, file, line, function});
    }
    void store(T value, Order order, Text file = __builtin_FILE(), unsigned line = __builtin_LINE(),
               Text function = __builtin_FUNCTION()) {
        go({Op::store, at(), sizeof(T), value, 0, order, order, file, line, function});
    }
    T exchange(T value, Order order, Text file = __builtin_FILE(), unsigned line = __builtin_LINE(),
               Text function = __builtin_FUNCTION()) {
        return go({Op::exchange, at(), sizeof(T), value, 0, order, order, file, line, function});
    }
    bool compare_exchange(T& expected, T desired, Order success, Order failure,
                          Text file = __builtin_FILE(), unsigned line = __builtin_LINE(),
                          Text function = __builtin_FUNCTION()) {
        const Result result = perform({Op::compare_exchange, at(), sizeof(T), desired, expected,
                                       success, failure, file, line, function});
        if (!result.swapped)
            expected = static_cast<T>(result.value);
        return result.swapped;
    }
    T fetch_add(T value, Order order, Text file = __builtin_FILE(),
                unsigned line = __builtin_LINE(), Text function = __builtin_FUNCTION()) {
        return go({Op::add, at(), sizeof(T), value, 0, order, order, file, line, function});
    }
    T fetch_sub(T value, Order order, Text file = __builtin_FILE(),
                unsigned line = __builtin_LINE(), Text function = __builtin_FUNCTION()) {
        return go({Op::subtract, at(), sizeof(T), value, 0, order, order, file, line, function});
    }
    T fetch_or(T value, Order order, Text file = __builtin_FILE(), unsigned line = __builtin_LINE(),
               Text function = __builtin_FUNCTION()) {
        return go({Op::set_bits, at(), sizeof(T), value, 0, order, order, file, line, function});
    }
    T fetch_and(T value, Order order, Text file = __builtin_FILE(),
                unsigned line = __builtin_LINE(), Text function = __builtin_FUNCTION()) {
        return go({Op::keep_bits, at(), sizeof(T), value, 0, order, order, file, line, function});
    }
    T* address() { return &value_; }

private:
    void* at() const { return const_cast<T*>(&value_); }
    static T go(const Access& access) { return static_cast<T>(perform(access).value); }

    alignas(sizeof(T)) T value_;
};

// Memory that is not atomic: two accesses, one of them a write, of which neither happens before the other, are an error.
template <class T>
class Data {
public:
    T read() const {
        access_data(this, false);
        return value_;
    }
    void write(T value) {
        access_data(this, true);
        value_ = value;
    }

private:
    T value_{};
};

inline void fence(std::memory_order order, const char* file = __builtin_FILE(),
                  unsigned line = __builtin_LINE(), const char* function = __builtin_FUNCTION()) {
    perform({Op::fence, nullptr, 0, 0, 0, order, order, file, line, function});
}

// In place of the kernel: what a doorbell sleeps by.
struct Sleep {
    static void fence(std::memory_order order, const char* file = __builtin_FILE(),
                      unsigned line = __builtin_LINE(),
                      const char* function = __builtin_FUNCTION()) {
        interleave::fence(order, file, line, function);
    }
    static void sleep(std::uint32_t* word, std::uint32_t expected, std::chrono::nanoseconds) {
        perform({Op::sleep, word, sizeof *word, 0, expected});
    }
    static void wake_all(std::uint32_t* word) { perform({Op::wake, word, sizeof *word}); }
};

} // namespace interleave
