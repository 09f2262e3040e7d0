// File descriptors and shared mappings, RAII.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace dshm::os {

class Fd {
public:
    Fd() = default;
    explicit Fd(int number) : number_(number) {}
    Fd(Fd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        if (this != &other)
            reset(std::exchange(other.number_, -1));
        return *this;
    }
    ~Fd() { reset(); }

    int get() const noexcept { return number_; }
    explicit operator bool() const noexcept { return number_ >= 0; }
    int release() noexcept { return std::exchange(number_, -1); }
    void reset(int number = -1) noexcept;

private:
    int number_ = -1;
};

// A shared read-write mapping of a file's first `size` bytes: address space only, no memory is
// taken until it is touched.
class Mapping {
public:
    Mapping() = default;
    // At the address `wanted`, if that is free.
    Mapping(int file, std::size_t size, std::uintptr_t wanted = 0);
    // Of no file: zeros, shared with children that are forked, so that a fork copies nothing.
    static Mapping anonymous(std::size_t size);
    Mapping(Mapping&& other) noexcept
        : address_(std::exchange(other.address_, nullptr)), size_(std::exchange(other.size_, 0)) {}
    Mapping& operator=(Mapping&& other) noexcept;
    ~Mapping();

    std::byte* data() const noexcept { return address_; }
    std::size_t size() const noexcept { return size_; }

    // Leaves the mapping out of core dumps: writing a large one delays the visible death of its
    // process.
    void keep_out_of_core_dumps() noexcept;
    // Leaves the mapping out of children forked from now on.
    void keep_out_of_children() noexcept;

private:
    std::byte* address_ = nullptr;
    std::size_t size_ = 0;
};

// Gives file bytes [offset, offset + size) their memory. Idempotent. 0, or the error number: ENOSPC
// when the file system is full, EFBIG past RLIMIT_FSIZE; then some may have it. Goes on after signals,
// however many there are.
int allocate_file_range(int file, std::size_t offset, std::size_t size) noexcept;

// Whether the number stands for a file of just that size, which no other has: a program may close ours
// and open one of its own under the same number.
bool is_file_of_size(int file, std::size_t size) noexcept;

// Gives the memory of file bytes [offset, offset + size) back: they read as zeros, and have no pages.
// 0, or the error number; then some may have gone.
int punch_file_range(int file, std::size_t offset, std::size_t size) noexcept;

// Bytes that are left in the file system of the file; all bits set when it has no limit.
std::size_t file_system_space_left(int file) noexcept;

// Bytes of memory in the machine.
std::size_t physical_memory() noexcept;

} // namespace dshm::os
