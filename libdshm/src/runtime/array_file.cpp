#include "dshm/runtime/array_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <limits>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "dshm/base/bits.hpp"
#include "dshm/base/scope_guard.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

namespace {

// A call that is interrupted by a signal is undone, so it must not take long: some 3 ms here.
constexpr std::size_t bytes_per_call = base::mebibytes(16);
constexpr int always = O_CLOEXEC | O_NOCTTY | O_NONBLOCK;

std::string quoted(const std::string& path) { return "dshm: map_file: '" + path + "' "; }

[[noreturn]] void refuse(const FileSpec& spec, const std::string& what) {
    throw std::invalid_argument(quoted(spec.path) + what);
}

[[noreturn]] void fail(const FileSpec& spec, int error, const std::string& what) {
    throw std::system_error(error, std::generic_category(), quoted(spec.path) + what);
}

std::string directory_of(const std::string& path) {
    return std::filesystem::path(path).parent_path().string();
}

void check_path(const FileSpec& spec) {
    if (spec.path.empty())
        throw std::invalid_argument("dshm: map_file: the path is empty");
    if (spec.path.find('\0') != std::string::npos)
        throw std::invalid_argument("dshm: map_file: the path contains a zero byte");
    if (spec.path.front() != '/')
        refuse(spec, "is relative, and processes may have different working directories; write '" +
                         std::filesystem::absolute(spec.path).lexically_normal().string() + "'");
}

void check_numbers(const FileSpec& spec) {
    constexpr auto most = static_cast<std::size_t>(std::numeric_limits<off_t>::max());
    if (spec.offset > most || spec.bytes > most - spec.offset)
        refuse(spec, "would have more bytes than a file can: " + std::to_string(spec.bytes) +
                         " behind an offset of " + std::to_string(spec.offset));
    // What needs 16 is loaded by instructions that fault elsewhere; the others only become slower.
    if (spec.alignment > 8 && spec.offset % spec.alignment != 0)
        refuse(spec, "cannot hold these elements at offset " + std::to_string(spec.offset) +
                         ": their type is aligned to " + std::to_string(spec.alignment) +
                         " bytes, so the offset must be a multiple of that");
}

void check_mode(const FileSpec& spec) {
    constexpr const char* modes[] = {"", "r", "r+", "w+", "a+"};
    if (std::find(std::begin(modes), std::end(modes), spec.mode) == std::end(modes))
        refuse(spec, "cannot be opened with mode '" + spec.mode + "'; use r, r+, w+ or a+");
}

const char* kind_of(mode_t mode) {
    return S_ISDIR(mode)    ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
                            : "a device";
}

// False when there is none.
bool exists(const FileSpec& spec) {
    struct stat info {};
    if (stat(spec.path.c_str(), &info) == 0) {
        if (!S_ISREG(info.st_mode)) // before it is opened: that may do something
            refuse(spec, std::string("is ") + kind_of(info.st_mode) +
                             "; an array can only lie in a regular file");
        return true;
    }
    if (errno != ENOENT)
        fail(spec, errno, "cannot be reached");
    return false;
}

// By an array of the session: cutting it would be a fault there.
bool in_use(const FilePlace& place) {
    Process* process = current_or_null();
    if (process == nullptr)
        return false;
    process->holdings().release_pins();
    return is_mapped_in_session(process->segment(), process->heap(), process->objects(), place);
}

void require_directory(const FileSpec& spec) {
    struct stat info {};
    if (stat(directory_of(spec.path).c_str(), &info) != 0)
        fail(spec, errno,
             "cannot be made: there is no directory '" + directory_of(spec.path) +
                 "'; make it first");
    if (lstat(spec.path.c_str(), &info) == 0 && S_ISLNK(info.st_mode))
        refuse(spec, "is a symbolic link to a file that does not exist");
}

} // namespace

// ------------------------------------------------------------------------------------------------
// Opening
// ------------------------------------------------------------------------------------------------

ArrayFile::ArrayFile(FileSpec spec) : spec_(std::move(spec)) {
    check_path(spec_);
    check_mode(spec_);
    check_numbers(spec_);
    lock();
    const bool there = exists(spec_);
    if (spec_.mode.empty())
        spec_.mode = there ? "r+" : "w+";
    if (there)
        open_existing();
    else if (spec_.mode == "w+" || spec_.mode == "a+")
        make_new();
    else
        refuse(spec_, "does not exist, and mode '" + spec_.mode +
                          "' does not make it; mode 'w+' or 'a+' does");
    check_room();
}

void ArrayFile::open_existing() {
    file_.reset(open(spec_.path.c_str(), (writable() ? O_RDWR : O_RDONLY) | always));
    if (!file_ && writable() && (errno == EACCES || errno == EROFS || errno == EPERM))
        fail(spec_, errno, "cannot be opened for writing; to read it only, give mode(\"r\")");
    if (!file_)
        fail(spec_, errno, "cannot be opened");
    const os::FileState state = os::state_of(file_.get());
    if (!state.regular)
        refuse(spec_, "is not a regular file any more");
    identity_ = state.identity;
    truncates_ = spec_.mode == "w+";
    old_size_ = state.size;
    if (!writable() && end() > state.size)
        refuse(spec_, "is too short: the array would end at byte " + std::to_string(end()) +
                          ", the file at " + std::to_string(state.size) +
                          ", and mode 'r' does not lengthen it");
}

// Nameless where the file system can do that.
void ArrayFile::make_new() {
    require_directory(spec_);
    file_.reset(open(directory_of(spec_.path).c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666));
    nameless_ = static_cast<bool>(file_);
    if (!file_ && errno != EACCES && errno != EROFS) {
        file_.reset(open(spec_.path.c_str(), O_RDWR | O_CREAT | O_EXCL | always, 0666));
        undo_ = file_ ? Undo::remove : Undo::nothing;
    }
    if (!file_)
        fail(spec_, errno, "cannot be made");
    identity_ = os::state_of(file_.get()).identity;
}

// Before anything is lost: what the length limit, or a disk that is full, would refuse later.
void ArrayFile::check_room() const {
    if (!writable() || (!truncates_ && end() <= old_size_))
        return;
    rlimit limit{};
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        end() > limit.rlim_cur)
        fail(spec_, EFBIG,
             "would have " + std::to_string(end()) + " bytes, beyond the limit of " +
                 std::to_string(limit.rlim_cur) + "; raise it (ulimit -f)");
    const std::size_t left = os::file_system_space_left(file_.get());
    if (truncates_ && spec_.bytes > left + os::state_of(file_.get()).blocks)
        fail(spec_, ENOSPC,
             "would need " + std::to_string(spec_.bytes) + " bytes, and " + std::to_string(left) +
                 " are free; it was left as it is");
}

FilePlace ArrayFile::place() const {
    return {spec_.path, spec_.offset, identity_.device, identity_.inode, !writable()};
}

os::FileView ArrayFile::map() const {
    try {
        return {file_.get(), spec_.offset, spec_.bytes,
                writable() ? os::FileAccess::write : os::FileAccess::read};
    } catch (const std::system_error& error) {
        fail(spec_, error.code().value(),
             "cannot be mapped (" + std::to_string(spec_.bytes) +
                 " bytes; an address space limit would be ulimit -v)");
    }
}

// ------------------------------------------------------------------------------------------------
// Changing
// ------------------------------------------------------------------------------------------------

void ArrayFile::complete() {
    base::ScopeGuard give_up([this] {
        revert();
        undo_ = Undo::nothing;
    });
    if (truncates_) {
        if (in_use(place()))
            refuse(spec_, "is in use by another SharedArray of this session, so mode 'w+' cannot "
                          "truncate it; drop that one first, or use mode 'r+'");
        if (ftruncate(file_.get(), 0) != 0)
            fail(spec_, errno, "cannot be truncated");
        old_size_ = 0;
    }
    if (writable())
        give_bytes();
    if (nameless_)
        link();
    give_up.dismiss();
}

// Bytes before the array may stay a hole: nobody maps them.
void ArrayFile::give_bytes() {
    if (end() > old_size_) {
        undo_ = std::max(undo_, Undo::cut);
        if (ftruncate(file_.get(), static_cast<off_t>(end())) != 0)
            fail(spec_, errno, "cannot grow to " + std::to_string(end()) + " bytes");
    }
    for (std::size_t at = spec_.offset; at < end();) {
        const std::size_t next = std::min(end(), at + bytes_per_call);
        const int error = os::allocate_file_range(file_.get(), at, next - at);
        if (error == EOPNOTSUPP || error == ENOSYS)
            return write_zeros(std::max(spec_.offset, old_size_), end());
        if (error != 0)
            fail(spec_, error,
                 "cannot be given its " + std::to_string(spec_.bytes) +
                     " bytes; free space there, or take another file system");
        at = next;
    }
}

// Where nothing can be allocated ahead: beyond the old end, where nobody else writes.
void ArrayFile::write_zeros(std::size_t from, std::size_t to) {
    const std::vector<std::byte> zeros(std::min(base::mebibytes(1), to - std::min(from, to)));
    while (from < to) {
        const ssize_t written = pwrite(file_.get(), zeros.data(), std::min(zeros.size(), to - from),
                                       static_cast<off_t>(from));
        if (written <= 0 && errno != EINTR)
            fail(spec_, errno, "cannot be given its " + std::to_string(spec_.bytes) + " bytes");
        from += static_cast<std::size_t>(std::max<ssize_t>(written, 0));
    }
}

void ArrayFile::link() {
    const std::string self = "/proc/self/fd/" + std::to_string(file_.get());
    if (linkat(AT_FDCWD, self.c_str(), AT_FDCWD, spec_.path.c_str(), AT_SYMLINK_FOLLOW) != 0)
        fail(spec_, errno,
             errno == EEXIST ? "was made by somebody else meanwhile; try again"
                             : "cannot be given its name");
    undo_ = Undo::remove;
}

// A thread of a program without a session has nobody to lock out.
void ArrayFile::lock() {
    if (const Process* const process = current_or_null(); process != nullptr && !lock_)
        lock_.emplace(*process);
}

ArrayFile::~ArrayFile() {
    if (undo_ != Undo::nothing)
        revert();
}

// Also when that cannot be found out, for want of memory or locks. Locked from here on.
bool ArrayFile::may_be_in_use() noexcept {
    try {
        lock();
        return in_use(place());
    } catch (...) {
        return true;
    }
}

void ArrayFile::revert() noexcept {
    struct stat info {};
    if (undo_ == Undo::remove && lstat(spec_.path.c_str(), &info) == 0 &&
        os::FileIdentity{info.st_dev, info.st_ino} == identity_)
        unlink(spec_.path.c_str());
    if (undo_ == Undo::cut && !may_be_in_use() && fstat(file_.get(), &info) == 0 &&
        static_cast<std::size_t>(info.st_size) == end())
        static_cast<void>(!ftruncate(file_.get(), static_cast<off_t>(old_size_)));
}

} // namespace dshm::runtime
