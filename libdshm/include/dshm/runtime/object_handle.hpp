// A counted hold on one object of the segment: what SharedArray and Shared<T> are made of.
//
// A copy made into a payload is listed there and holds nothing; one made out of a payload takes a
// hold of its own, while the payload is pinned. Throws std::logic_error when it belongs to a session
// that has ended.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dshm/runtime/process.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm::runtime {

// What an object is, as its description says.
namespace object_kind {
inline constexpr std::uint64_t array = 1;
inline constexpr std::uint64_t value = 2;
inline constexpr std::uint64_t channel = 3;
inline constexpr std::uint64_t pool = 4;
inline constexpr std::uint64_t loop = 5;
inline constexpr std::uint64_t file_array = 6;  // its elements lie in a file
inline constexpr std::uint64_t first_touch = 7; // pieces of an array that is being made
} // namespace object_kind

class ObjectHandle {
public:
    ObjectHandle() = default;
    // A new object of `bytes` zero bytes, with room for a note behind them. Throws
    // SharedMemoryExhausted.
    ObjectHandle(std::size_t bytes, const shm::ObjectDescription& description,
                 std::size_t note = 0);
    // Takes over a handle that was acquired.
    static ObjectHandle adopt(shm::ObjectTable::Ref object);
    ObjectHandle(const ObjectHandle& other);
    ObjectHandle& operator=(const ObjectHandle& other);
    ~ObjectHandle() { drop(); }

    // Where its bytes lie in this process; null in a payload.
    void* address() const { return address_; }
    shm::ObjectTable::Ref object() const { return object_; }
    // Whether it holds an object of the session that lives now.
    bool holds() const noexcept;
    // Throws std::logic_error when the session that it belongs to is over.
    void check_session() const;

private:
    void drop() noexcept;

    void* address_ = nullptr;
    std::uint64_t session_ = 0; // 0: holds nothing
    shm::ObjectTable::Ref object_;
};

} // namespace dshm::runtime
