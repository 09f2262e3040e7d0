#include "dshm/shm/backing.hpp"

#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

#include "dshm/os/mapping.hpp"
#include "dshm/shm/exhausted.hpp"

namespace dshm::shm {

namespace {

[[noreturn]] void throw_exhausted(std::size_t asked, int file, int error) {
    const std::size_t left = os::file_system_space_left(file);
    std::string text = "shared memory exhausted: asked for " + std::to_string(asked >> 10) +
                       " KiB, " + std::to_string(left >> 10) + " KiB left";
    text += error == EFBIG ? "; raise the file size limit (ulimit -f)"
                           : "; free SharedArrays, or enlarge /dev/shm (mount -o remount,size=...)";
    if (error != EFBIG && error != ENOSPC)
        text += std::string(" (") + std::strerror(error) + ")";
    throw SharedMemoryExhausted(asked, left, text);
}

} // namespace

// The whole run in one system call could be undone by every signal that arrives (EINTR), and would
// keep others waiting for theirs.
Offset Backing::back_run(Offset first_chunk, Offset end, std::size_t asked) {
    Offset last = first_chunk + 1;
    while (last * chunk_size < end && last - first_chunk < chunks_per_call && !backed(last))
        ++last;
    const std::size_t bytes = (last - first_chunk) * chunk_size;
    if (const int error = os::allocate_file_range(file_, first_chunk * chunk_size, bytes))
        throw_exhausted(asked, file_, error);
    for (Offset chunk = first_chunk; chunk < last; ++chunk)
        // release, edge `chunk-backed`: whoever sees the bit may touch the pages.
        words_[chunk / chunks_per_extent].fetch_or(std::uint64_t{1} << (chunk % chunks_per_extent),
                                                   std::memory_order_release);
    return last;
}

// Before a request of several calls: one that cannot succeed should not fill the file system up for
// everybody first.
void Backing::check_space(Offset first_chunk, Offset end, std::size_t asked) const {
    std::size_t missing = 0;
    for (Offset chunk = first_chunk; chunk * chunk_size < end; ++chunk)
        missing += backed(chunk) ? 0 : chunk_size;
    if (missing > os::file_system_space_left(file_))
        throw_exhausted(asked, file_, ENOSPC);
}

std::size_t Backing::backed_bytes() const {
    std::size_t chunks = 0;
    for (std::size_t i = 0; i < geometry_.capacity / extent_size; ++i)
        // relaxed: a statistic, nothing is read on the strength of it.
        chunks +=
            static_cast<std::size_t>(std::popcount(words_[i].load(std::memory_order_relaxed)));
    return chunks * chunk_size;
}

std::size_t Backing::space_left() const { return os::file_system_space_left(file_); }

} // namespace dshm::shm
