#include "dshm/os/file_view.hpp"

#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <system_error>

#include "dshm/base/bits.hpp"

namespace dshm::os {

namespace {

// What an array without elements points to.
alignas(base::cache_line) std::byte nothing[base::cache_line];

} // namespace

FileState state_of(int file) {
    struct stat info {};
    if (fstat(file, &info) != 0)
        throw std::system_error(errno, std::generic_category(), "cannot look at a file");
    return {{info.st_dev, info.st_ino},
            static_cast<std::size_t>(info.st_size),
            static_cast<std::size_t>(info.st_blocks) * 512,
            S_ISREG(info.st_mode)};
}

FileView::FileView(int file, std::size_t offset, std::size_t size, FileAccess access)
    : distance_(offset % base::page_size), size_(size) {
    if (size == 0)
        return;
    const int rights = access == FileAccess::write ? PROT_READ | PROT_WRITE : PROT_READ;
    void* start = mmap(nullptr, distance_ + size, rights, MAP_SHARED, file,
                       static_cast<off_t>(offset - distance_));
    if (start == MAP_FAILED)
        throw std::system_error(errno, std::generic_category(),
                                "cannot map " + std::to_string(size) + " bytes of a file");
    start_ = static_cast<std::byte*>(start);
    madvise(start_, distance_ + size_, MADV_DONTFORK);
}

FileView& FileView::operator=(FileView&& other) noexcept {
    std::swap(start_, other.start_);
    std::swap(distance_, other.distance_);
    std::swap(size_, other.size_);
    return *this;
}

FileView::~FileView() {
    if (start_ != nullptr)
        munmap(start_, distance_ + size_);
}

std::byte* FileView::data() const noexcept {
    return start_ == nullptr ? nothing : start_ + distance_;
}

} // namespace dshm::os
