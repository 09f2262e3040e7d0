// Names of objects, for processes that have no handle to start from.
//
// A name is a hash in the object's record. Whoever gives one holds a lock of the kernel on a byte of
// the segment's file meanwhile, so there are no two objects of one kind with the same name; if it
// dies, the kernel lets go. An object goes with its last handle, and its name with it.
#pragma once

#include <cstdint>
#include <string_view>

#include "dshm/runtime/object_handle.hpp"

namespace dshm::runtime {

std::uint64_t hash_of_name(std::string_view name);

// Arrays in memory and in files are of one kind here. Throws std::invalid_argument if there is an
// object of that kind with the name, or the name is empty.
void require_free_name(std::uint64_t kind, std::string_view name);
// The same, and gives the name to a complete object.
void give_name(const ObjectHandle& object, std::uint64_t kind, std::string_view name);
// Throws std::out_of_range with the name if there is none.
ObjectHandle open_named(std::uint64_t kind, std::string_view name);

} // namespace dshm::runtime
