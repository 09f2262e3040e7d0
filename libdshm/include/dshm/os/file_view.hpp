// A part of a file in this process's memory: what is written there reaches the file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "dshm/os/mapping.hpp"

namespace dshm::os {

enum class FileAccess { read, write };

// The same for two names of one file.
struct FileIdentity {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;

    friend bool operator==(const FileIdentity&, const FileIdentity&) = default;
};

struct FileState {
    FileIdentity identity;
    std::size_t size = 0;   // bytes
    std::size_t blocks = 0; // bytes that the file system has given it
    bool regular = false;
};

// Throws std::system_error.
FileState state_of(int file);

// Shared, and left out of children that are forked from now on. The file may be shorter: then only
// what it has may be touched.
class FileView {
public:
    FileView() = default;
    // Bytes [offset, offset + size) of the file, wherever they begin; none when `size` is 0. Throws
    // std::system_error.
    FileView(int file, std::size_t offset, std::size_t size, FileAccess access);
    FileView(FileView&& other) noexcept
        : start_(std::exchange(other.start_, nullptr)), distance_(other.distance_),
          size_(std::exchange(other.size_, 0)) {}
    FileView& operator=(FileView&& other) noexcept;
    ~FileView();

    // Of the first of these bytes; never null.
    std::byte* data() const noexcept;
    std::size_t size() const noexcept { return size_; }

private:
    std::byte* start_ = nullptr; // of the first page
    std::size_t distance_ = 0;
    std::size_t size_ = 0;
};

} // namespace dshm::os
