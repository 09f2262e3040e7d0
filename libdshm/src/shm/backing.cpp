#include "dshm/shm/backing.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <string>

#include "dshm/os/mapping.hpp"
#include "dshm/os/memory_left.hpp"
#include "dshm/os/pages.hpp"
#include "dshm/shm/exhausted.hpp"

namespace dshm::shm {

namespace {

// So much is asked for at a time, and so often is looked at what the machine can spare: 3 ms in the
// kernel, and 0.2 ms.
constexpr std::size_t bytes_between_looks = base::mebibytes(16);

enum class Limit { file_system, machine };
struct Room {
    std::size_t bytes;
    Limit limit;
};

Room room_left(int file) {
    const std::size_t in_file_system = os::file_system_space_left(file);
    const std::size_t in_machine = os::memory_to_spare();
    return in_machine < in_file_system ? Room{in_machine, Limit::machine}
                                       : Room{in_file_system, Limit::file_system};
}

const char* remedy(Limit limit, int error) {
    if (error == EFBIG)
        return "raise the file size limit (ulimit -f)";
    return limit == Limit::machine
               ? "free SharedArrays, or other memory of the machine or of the container"
               : "free SharedArrays, or enlarge /dev/shm (mount -o remount,size=...)";
}

[[noreturn]] void throw_exhausted(std::size_t asked, Room left, int error) {
    std::string text = "dshm: shared memory exhausted: asked for " + in_kibibytes(asked) +
                       " KiB, " + std::to_string(left.bytes >> 10) + " KiB left; " +
                       remedy(left.limit, error);
    if (error != EFBIG && error != ENOSPC)
        text += std::string(" (") + std::strerror(error) + ")";
    throw SharedMemoryExhausted(asked, left.bytes, text);
}

[[noreturn]] void throw_without_file(std::size_t asked) {
    throw SharedMemoryExhausted(
        asked, 0,
        "dshm: no more shared memory in this process: the file of the session's memory "
        "has been closed here (close, close_range, closefrom, or dup2 over it); close "
        "only what the program has opened");
}

} // namespace

// The capacity is no size that another file is likely to have.
bool Backing::has_its_file() const noexcept {
    return os::is_file_of_size(file_, geometry_.capacity);
}

// The whole run in one system call could be undone by every signal that arrives (EINTR), and would
// keep others waiting for theirs.
Offset Backing::back_run(Offset first_chunk, Offset end, std::size_t asked) {
    if (!has_its_file())
        throw_without_file(asked);
    Offset last = first_chunk + 1;
    while (last * chunk_size < end && last - first_chunk < chunks_per_call && !backed(last))
        ++last;
    const std::size_t bytes = (last - first_chunk) * chunk_size;
    const int error = machine_can_spare(bytes)
                          ? os::allocate_file_range(file_, first_chunk * chunk_size, bytes)
                          : ENOSPC;
    if (error != 0)
        throw_exhausted(asked, room_left(file_), error);
    set_bits(first_chunk, last);
    return last;
}

void Backing::set_bits(Offset first, Offset last) noexcept {
    for (Offset chunk = first; chunk < last; ++chunk)
        // release, edge `chunk-backed`: whoever sees the bit may touch the pages.
        words_[chunk / chunks_per_extent].fetch_or(std::uint64_t{1} << (chunk % chunks_per_extent),
                                                   std::memory_order_release);
}

void Backing::note_backed(Offset offset, std::size_t size) noexcept {
    set_bits(offset / chunk_size, (offset + size + chunk_size - 1) / chunk_size);
}

// Before a request of several calls: one that cannot succeed should not fill the file system up for
// everybody first.
void Backing::check_space(Offset first_chunk, Offset end, std::size_t asked) const {
    if (!has_its_file())
        throw_without_file(asked);
    std::size_t missing = 0;
    for (Offset chunk = first_chunk; chunk * chunk_size < end; ++chunk)
        missing += backed(chunk) ? 0 : chunk_size;
    if (const Room left = room_left(file_); missing > left.bytes)
        throw_exhausted(asked, left, ENOSPC);
}

// Many small requests fill a machine as well as a large one, and so do several processes at once;
// where shared memory has no limit of its own, the kernel would rather kill than refuse. A look allows
// as many bytes as there are to spare, at most until the next one is due anyway. Whoever dies between
// looking and saying so makes the next one look again.
bool Backing::machine_can_spare(std::size_t bytes) const {
    Word64& made = header().made_since_look;
    // relaxed, both: how often somebody looks.
    if (made.fetch_add(bytes, std::memory_order_relaxed) + bytes <= bytes_between_looks)
        return true;
    const std::size_t room = os::memory_to_spare();
    const std::size_t rest = room < bytes ? 0 : std::min(room - bytes, bytes_between_looks);
    made.store(bytes_between_looks - rest, std::memory_order_relaxed);
    return room >= bytes;
}

bool Backing::give_back(Offset first, std::size_t count) noexcept {
    for (Offset chunk = first; chunk < first + count; ++chunk)
        // acq_rel: nothing of this chunk's hole comes before it; the next owner learns of it by the
        // chunk's state.
        words_[chunk / chunks_per_extent].fetch_and(
            ~(std::uint64_t{1} << (chunk % chunks_per_extent)), std::memory_order_acq_rel);
    if (!has_its_file() || os::punch_file_range(file_, first * chunk_size, count * chunk_size) != 0)
        return false;
    if (os::node_count() > 1) // whoever comes next may run anywhere
        os::prefer_no_node(base() + first * chunk_size, count * chunk_size);
    return true;
}

std::size_t Backing::backed_bytes_below(Offset end) const {
    std::size_t chunks = 0;
    for (std::size_t i = 0; i < base::ceil_div(end, extent_size); ++i)
        // relaxed: a statistic, nothing is read on the strength of it.
        chunks +=
            static_cast<std::size_t>(std::popcount(words_[i].load(std::memory_order_relaxed)));
    return chunks * chunk_size;
}

std::size_t Backing::backed_bytes(Offset first, std::size_t count) const {
    std::size_t bytes = 0;
    for (Offset chunk = first; chunk < first + count; ++chunk)
        bytes += backed(chunk) ? chunk_size : 0;
    return bytes;
}

std::uint64_t Backing::records_with_pages(Offset table, std::size_t record,
                                          std::uint64_t count) const {
    const Offset first = table / chunk_size, end = table + count * record;
    for (Offset chunk = first; chunk * chunk_size < end; ++chunk)
        if (!backed(chunk))
            return chunk == first ? 0 : (chunk * chunk_size - table) / record;
    return count;
}

std::size_t Backing::space_left() const { return room_left(file_).bytes; }

} // namespace dshm::shm
