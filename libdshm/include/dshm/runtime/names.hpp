// Names of objects, for processes that have no handle to start from.
//
// A name is a hash in the object's record. Whoever gives one holds a lock of the kernel on a byte of
// the segment's file meanwhile, so there are no two objects of one kind with the same name; if it
// dies, the kernel lets go. An object goes with its last handle, and its name with it. An array and a
// channel may have the same name: each is found by its kind. The same lock is
// held while the file of an array is opened, changed and made known (array_file.hpp): with a second one,
// the kernel would take two threads of one process that wait for one each for a deadlock.
#pragma once

#include <cstdint>
#include <mutex>
#include <string_view>

#include "dshm/runtime/object_handle.hpp"

namespace dshm::runtime {

// The kernel's lock keeps other processes out, a mutex other threads of this one. Nothing that may wait
// for another process, or run code of the program, happens under it. Throws std::system_error when the
// kernel has no lock left.
class [[nodiscard]] NamesLock {
public:
    explicit NamesLock(const Process& process);
    NamesLock(const NamesLock&) = delete;
    NamesLock& operator=(const NamesLock&) = delete;
    ~NamesLock();

private:
    std::unique_lock<std::mutex> guard_;
    int file_;
};

std::uint64_t hash_of_name(std::string_view name);

// Arrays in memory and in files are of one kind here. Throws std::invalid_argument if there is an
// object of that kind with the name, or the name is empty.
void require_free_name(std::uint64_t kind, std::string_view name);
// The same, and gives the name to a complete object.
void give_name(const ObjectHandle& object, std::uint64_t kind, std::string_view name);
// Throws std::invalid_argument if only an object of the other kind, array or channel, has the name,
// and std::out_of_range if none has.
ObjectHandle open_named(std::uint64_t kind, std::string_view name);

} // namespace dshm::runtime
