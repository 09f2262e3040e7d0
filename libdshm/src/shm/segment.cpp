#include "dshm/shm/segment.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <system_error>

#include "dshm/os/file_lock.hpp"
#include "dshm/os/memory_left.hpp"
#include "dshm/os/pages.hpp"
#include "dshm/os/process.hpp"
#include "dshm/shm/exhausted.hpp"
#include "segment_files.hpp"

namespace dshm::shm {

namespace {

// Below this a named segment could not even hold a few workers: a container's token /dev/shm.
constexpr std::size_t least_directory_space = base::mebibytes(16);

// Between where the kernel puts programs and where it puts libraries and stacks, so that the same place
// is free in other processes: plain pointers into the segment (memory_resource.hpp) then mean the
// same there. At random, as all addresses.
std::uintptr_t likely_free_address() {
    if constexpr (sizeof(void*) < 8)
        return 0;
    std::uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != sizeof random)
        return 0;
    constexpr std::uintptr_t first = std::uintptr_t{0x6000} << 32;
    return first + random % (std::uint32_t{1} << 22) * extent_size; // 8 TiB
}

[[noreturn]] void throw_errno(const std::string& text) {
    throw std::system_error(errno, std::generic_category(), text);
}

void check_name(const std::string& name) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_' || c == '-' || c == '.';
    };
    if (name.empty() || name.size() > 63 || !std::all_of(name.begin(), name.end(), allowed))
        throw std::invalid_argument("session name '" + name +
                                    "': use 1 to 63 letters, digits, '_', '-' or '.'");
}

std::size_t choose_capacity(std::size_t asked) {
    if (asked == 0)
        return std::max(os::physical_memory(), min_capacity);
    if (asked < min_capacity)
        throw std::invalid_argument("dshm: session capacity " + std::to_string(asked) +
                                    " is below the smallest one, 128 MiB (" +
                                    std::to_string(min_capacity) + " bytes)");
    return asked;
}

os::Fd open_nameless() {
    os::Fd file(open(segment_directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
    if (file && os::file_system_space_left(file.get()) < least_directory_space)
        file.reset();
    return file;
}

os::Fd open_anonymous() {
    os::Fd file(memfd_create("dshm", MFD_CLOEXEC));
    if (!file)
        throw_errno("dshm: cannot make a memory file for the segment");
    return file;
}

void size_and_back_head(int file, const Geometry& geometry) {
    if (ftruncate(file, static_cast<off_t>(geometry.capacity)) != 0)
        throw_errno("dshm: cannot size the segment to " + std::to_string(geometry.capacity >> 20) +
                    " MiB; lower DSHM_CAPACITY" +
                    (errno == EFBIG ? ", or raise the file size limit (ulimit -f)" : ""));
    const std::size_t head = geometry.processes;
    if (const int error = os::allocate_file_range(file, 0, head)) {
        const std::size_t left = std::min(os::file_system_space_left(file), os::memory_left());
        throw SharedMemoryExhausted(head, left,
                                    "dshm: cannot start a session: it needs " + in_kibibytes(head) +
                                        " KiB of shared memory, and " + std::to_string(left >> 10) +
                                        " KiB are left (" + std::strerror(error) +
                                        "); free space in /dev/shm, or memory");
    }
}

void initialise(const Segment& segment, const SegmentOptions& options) {
    Header& header = segment.header();
    header.magic = segment_magic;
    header.abi = abi_number;
    header.user = getuid();
    header.layout_hash = layout_hash();
    header.seed = options.seed;
    header.master_pid = getpid();
    if (segment.kind() == SegmentKind::named) // adopt() tells by it that there is a link
        std::copy(options.name.begin(), options.name.end(), header.name.begin());
    header.master_address = reinterpret_cast<std::uintptr_t>(segment.base());
    header.geometry = segment.geometry();
    std::copy_n(options.build_id.begin(), std::min(options.build_id.size(), header.build_id.size()),
                header.build_id.begin());
    // release, edge `segment-ready`: everything above is seen by whoever reads the state as ready.
    header.state.store(static_cast<std::uint64_t>(SegmentState::ready), std::memory_order_release);
}

// A session of this user's, or anything else that somebody has put there.
std::string what_is_in_the_way(const std::string& link_name) {
    struct stat info {};
    const std::string path = path_of(link_name);
    if (lstat(path.c_str(), &info) == 0 && (!S_ISREG(info.st_mode) || info.st_uid != getuid()))
        return path + " is in the way: it is " +
               (S_ISREG(info.st_mode)   ? "a file"
                : S_ISLNK(info.st_mode) ? "a symbolic link"
                                        : "no regular file") +
               " of user " + std::to_string(info.st_uid) + ", expected a segment of user " +
               std::to_string(getuid()) + " or nothing; remove it or choose another DSHM_NAME";
    return "a session named '" + link_name +
           "' already exists; choose another DSHM_NAME or end that one";
}

void link_under_name(int file, const std::string& link_name) {
    const std::string self = "/proc/self/fd/" + std::to_string(file);
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path_of(link_name).c_str(), AT_SYMLINK_FOLLOW) ==
        0)
        return;
    if (errno == EEXIST)
        throw std::runtime_error(what_is_in_the_way(link_name));
    throw_errno("cannot link the segment as " + path_of(link_name));
}

[[noreturn]] void refuse(const std::string& what, std::uint64_t theirs, std::uint64_t ours) {
    throw std::runtime_error("the segment " + what + ": it has " + std::to_string(theirs) +
                             ", expected " + std::to_string(ours));
}

void check_owner(int file, const Header& header) {
    struct stat info {};
    if (fstat(file, &info) != 0)
        throw_errno("cannot look at the segment's file");
    if (info.st_uid != getuid())
        refuse("belongs to another user", info.st_uid, getuid());
    if (header.user != getuid())
        refuse("was made by another user", header.user, getuid());
    if (static_cast<std::uint64_t>(info.st_size) != header.geometry.capacity)
        refuse("has been cut or lengthened, by its size in bytes",
               static_cast<std::uint64_t>(info.st_size), header.geometry.capacity);
}

std::string hexadecimal(std::uint64_t value) {
    char text[20];
    std::snprintf(text, sizeof text, "0x%016lx", value);
    return text;
}

void check_build(const Header& header) {
    if (header.magic != segment_magic)
        throw std::runtime_error("the file is no segment of dshm: it begins with " +
                                 hexadecimal(header.magic) + ", expected " +
                                 hexadecimal(segment_magic));
    if (header.abi != abi_number || header.layout_hash != layout_hash())
        throw std::runtime_error(
            "the segment belongs to another build of dshm: abi " + std::to_string(header.abi) +
            " and layout " + std::to_string(header.layout_hash) + ", this one has abi " +
            std::to_string(abi_number) + " and layout " + std::to_string(layout_hash()) +
            "; build both programs with the same dshm");
}

// The state is published last; a copy made by one read of the page is as good as the page.
void check_header(int file, const Header& header) {
    check_build(header);
    // relaxed: a private copy.
    const std::uint64_t state = header.state.load(std::memory_order_relaxed);
    if (state != static_cast<std::uint64_t>(SegmentState::ready))
        refuse("is not ready, by its state", state,
               static_cast<std::uint64_t>(SegmentState::ready));
    if (header.geometry.capacity < min_capacity)
        refuse("is smaller than any can be, by the bytes that its header says",
               header.geometry.capacity, min_capacity);
    if (header.geometry != Geometry::of(header.geometry.capacity))
        throw std::runtime_error("the segment's header is damaged: its heap begins at byte " +
                                 std::to_string(header.geometry.heap) + " of " +
                                 std::to_string(header.geometry.capacity) + ", expected " +
                                 std::to_string(Geometry::of(header.geometry.capacity).heap));
    check_owner(file, header);
}

} // namespace

Segment::Segment(os::Fd file, SegmentKind kind, const Geometry& geometry, std::uintptr_t address)
    : file_(std::move(file)), mapping_(file_.get(), geometry.capacity, address),
      geometry_(geometry), kind_(kind) {}

Segment Segment::create(const SegmentOptions& options) {
    os::ignore_file_size_signal();
    check_name(options.name);
    const Geometry geometry = Geometry::of(choose_capacity(options.capacity));
    os::Fd file = open_nameless();
    const SegmentKind kind = file ? SegmentKind::named : SegmentKind::anonymous;
    if (!file)
        file = open_anonymous();
    size_and_back_head(file.get(), geometry);
    Segment segment(std::move(file), kind, geometry, likely_free_address());
    segment.mapping_.keep_out_of_core_dumps();
    initialise(segment, options);
    if (options.huge_pages)
        if (const std::string problem = segment.ask_for_huge_pages(); !problem.empty())
            std::fprintf(stderr, "dshm: DSHM_HUGE=1 has no effect: %s\n", problem.c_str());
    os::share_byte_for_open_file(segment.file(), member_byte);
    if (kind == SegmentKind::named) {
        segment.link_name_ = user_prefix() + options.name;
        link_under_name(segment.file(), segment.link_name_);
    }
    return segment;
}

Segment Segment::adopt(os::Fd file) {
    Header header{};
    const ssize_t read = pread(file.get(), &header, sizeof header, 0);
    if (read < 0)
        throw_errno("cannot read the header of the segment");
    if (read != static_cast<ssize_t>(sizeof header))
        throw std::runtime_error("the file is too short to be a segment: it has " +
                                 std::to_string(read) + " bytes, a header has " +
                                 std::to_string(sizeof header));
    check_header(file.get(), header);
    const bool named = header.name[0] != '\0';
    Segment segment(std::move(file), named ? SegmentKind::named : SegmentKind::anonymous,
                    header.geometry, header.master_address);
    segment.mapping_.keep_out_of_core_dumps();
    if (header.huge_pages != 0)
        os::advise_huge_pages(segment.base(), segment.geometry().capacity);
    if (named)
        segment.link_name_ =
            user_prefix() +
            std::string(header.name.data(), strnlen(header.name.data(), header.name.size()));
    return segment;
}

void Segment::unlink() const noexcept {
    if (!link_name_.empty() && same_file(file(), path_of(link_name_)))
        ::unlink(path_of(link_name_).c_str());
}

} // namespace dshm::shm
