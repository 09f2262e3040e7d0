// The error of a segment, or of the file system under it, that has no room left.
#pragma once

#include <cstddef>
#include <new>
#include <string>
#include <utility>

namespace dshm {

// Thrown at the call that asked for memory; the program and its session go on. Derived from
// std::bad_alloc.
class SharedMemoryExhausted : public std::bad_alloc {
public:
    SharedMemoryExhausted(std::size_t asked_bytes, std::size_t left_bytes, std::string text)
        : asked_(asked_bytes), left_(left_bytes), text_(std::move(text)) {}

    const char* what() const noexcept override { return text_.c_str(); }
    // Bytes that the failing call asked for, and bytes that were left at that moment.
    std::size_t asked() const noexcept { return asked_; }
    std::size_t left() const noexcept { return left_; }

private:
    std::size_t asked_;
    std::size_t left_;
    std::string text_;
};

namespace shm {

// For the texts of errors: rounded up, so that what was asked for is never nothing.
inline std::string in_kibibytes(std::size_t bytes) {
    return std::to_string(bytes / 1024 + (bytes % 1024 != 0));
}

} // namespace shm

} // namespace dshm
