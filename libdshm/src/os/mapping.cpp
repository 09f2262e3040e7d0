#include "dshm/os/mapping.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>
#include <system_error>

namespace dshm::os {

void Fd::reset(int number) noexcept {
    if (number_ >= 0)
        ::close(number_);
    number_ = number;
}

namespace {

std::byte* map_shared(int file, int flags, std::size_t size, std::uintptr_t wanted,
                      const std::string& failure) {
    void* address = mmap(reinterpret_cast<void*>(wanted), size, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_NORESERVE | flags, file, 0);
    if (address == MAP_FAILED)
        throw std::system_error(errno, std::generic_category(), failure);
    return static_cast<std::byte*>(address);
}

} // namespace

Mapping::Mapping(int file, std::size_t size, std::uintptr_t wanted)
    : address_(map_shared(file, 0, size, wanted,
                          "dshm: cannot map " + std::to_string(size >> 20) +
                              " MiB of address space; lower DSHM_CAPACITY or raise RLIMIT_AS")),
      size_(size) {}

Mapping Mapping::anonymous(std::size_t size) {
    Mapping mapping;
    mapping.address_ = map_shared(-1, MAP_ANONYMOUS, size, 0,
                                  "dshm: cannot map " + std::to_string(size >> 10) +
                                      " KiB of memory; raise RLIMIT_AS");
    mapping.size_ = size;
    return mapping;
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
    std::swap(address_, other.address_);
    std::swap(size_, other.size_);
    return *this;
}

Mapping::~Mapping() {
    if (address_ != nullptr)
        munmap(address_, size_);
}

void Mapping::keep_out_of_core_dumps() noexcept { madvise(address_, size_, MADV_DONTDUMP); }

void Mapping::keep_out_of_children() noexcept { madvise(address_, size_, MADV_DONTFORK); }

// Some kernels undo a call on tmpfs when any signal arrives: with a timer that is set it would never
// end. Shorter ones come to their ends between two signals.
int allocate_file_range(int file, std::size_t offset, std::size_t size) noexcept {
    constexpr std::size_t least = std::size_t{64} << 10;
    const std::size_t end = offset + size;
    for (std::size_t step = size; offset < end;) {
        const std::size_t part = std::min(step, end - offset);
        if (fallocate(file, 0, static_cast<off_t>(offset), static_cast<off_t>(part)) == 0)
            offset += part;
        else if (errno == EINTR)
            step = std::max(part / 2, least);
        else
            return errno;
    }
    return 0;
}

bool is_file_of_size(int file, std::size_t size) noexcept {
    struct stat info {};
    return fstat(file, &info) == 0 && static_cast<std::size_t>(info.st_size) == size;
}

int punch_file_range(int file, std::size_t offset, std::size_t size) noexcept {
    constexpr int hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    while (fallocate(file, hole, static_cast<off_t>(offset), static_cast<off_t>(size)) != 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

std::size_t file_system_space_left(int file) noexcept {
    struct statfs info {};
    if (fstatfs(file, &info) != 0)
        return 0;
    // A file system without a limit (of a memfd, or a tmpfs mounted so) reports no blocks at all.
    if (info.f_blocks == 0)
        return std::numeric_limits<std::size_t>::max();
    return static_cast<std::size_t>(info.f_bavail) * static_cast<std::size_t>(info.f_bsize);
}

std::size_t physical_memory() noexcept {
    return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
           static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

} // namespace dshm::os
