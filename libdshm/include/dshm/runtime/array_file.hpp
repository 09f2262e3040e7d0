// The file of a new array, from the maker's side: found or made, checked, and given its bytes.
//
//     ArrayFile file({path, "a+", offset, bytes});   // checks and opens; nothing is changed yet
//     os::FileView view = file.map();
//     file.complete();                               // truncates, grows, gives a new file its name
//     ...                                            // the object is made that tells others of the file
//     file.unlock();
//     ...                                            // the rest of making an array: init
//     file.keep();
//
// From before it is opened until unlock(), this process has the session's lock on names (names.hpp): what
// it found out about the file's size and its use by other arrays stays true as far as this session goes.
// So makers of named arrays wait while a large file is given its bytes. Other sessions, and programs
// that know nothing of dshm, are not kept out. If the maker dies, the kernel lets go.
//
// Without keep() a file that was made here is removed again and one that was grown is cut back,
// unless somebody else has changed it, or another array of the session lies in it; what w+ has truncated stays
// truncated, and it truncates no file that another array of the session lies in. All that can
// be known to fail is found out before anything is changed. A new file has no name until its bytes
// are there, where the file system can do that (O_TMPFILE): a maker that is killed before leaves
// nothing, one that is killed later a complete file, and one that grew a file the longer file.
//
// Bytes are allocated, not only promised by a length: a hole of a full disk would be a SIGBUS later.
// For ArrayStorage; belongs to one thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "dshm/os/file_view.hpp"
#include "dshm/runtime/array_note.hpp"
#include "dshm/runtime/names.hpp"

namespace dshm::runtime {

// What `map_file` was asked for.
struct FileSpec {
    std::string path;
    std::string mode; // "r", "r+", "w+" or "a+"; empty: "r+" if the file exists, else "w+"
    std::size_t offset = 0;
    std::size_t bytes = 0;
    std::size_t alignment = 1; // of an element
};

class ArrayFile {
public:
    // Throws std::invalid_argument for what can never be an array's file, std::system_error for what
    // the system refuses, with the path, the reason and what to do.
    explicit ArrayFile(FileSpec spec);
    ArrayFile(const ArrayFile&) = delete;
    ArrayFile& operator=(const ArrayFile&) = delete;
    ~ArrayFile();

    FilePlace place() const;
    os::FileView map() const;
    // Throws as the constructor does; then the file is as it was before, but for w+.
    void complete();
    void unlock() noexcept { lock_.reset(); }
    void keep() noexcept { undo_ = Undo::nothing; }

private:
    enum class Undo { nothing, cut, remove };

    void open_existing();
    void make_new();
    void check_room() const;
    void give_bytes();
    void write_zeros(std::size_t from, std::size_t to);
    void link();
    void lock();
    bool may_be_in_use() noexcept;
    void revert() noexcept;

    std::size_t end() const { return spec_.offset + spec_.bytes; }
    bool writable() const { return spec_.mode != "r"; }

    FileSpec spec_;
    std::optional<NamesLock> lock_;
    os::Fd file_;
    os::FileIdentity identity_;
    std::size_t old_size_ = 0;
    bool truncates_ = false;
    bool nameless_ = false;
    Undo undo_ = Undo::nothing;
};

} // namespace dshm::runtime
