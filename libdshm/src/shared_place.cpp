#include "dshm/detail/shared_place.hpp"

#include <optional>
#include <stdexcept>
#include <string>
#include <type_traits>

namespace dshm::detail {

static_assert(std::is_standard_layout_v<PlaceInSegment>,
              "a closure that holds one must be standard-layout to be sent");

namespace {

[[noreturn]] void refuse(const char* call, const std::string& what) {
    throw std::invalid_argument("dshm: " + std::string(call) + ": the elements " + what);
}

// A hold on the array or value of the segment that this byte belongs to.
std::optional<runtime::ObjectHandle> holder_of(shm::Offset offset) {
    shm::ObjectTable& objects = runtime::current().objects();
    std::optional<runtime::ObjectHandle> found;
    const auto look = [&](shm::ObjectTable::Ref object, const shm::ObjectView& view) {
        if (!found && offset >= view.block && offset - view.block < view.bytes &&
            objects.acquire(object))
            found = runtime::ObjectHandle::adopt(object);
    };
    for (const std::uint64_t kind : {runtime::object_kind::array, runtime::object_kind::value})
        if (!found)
            objects.for_each_live(kind, look);
    return found;
}

ArrayStorage storage_in_segment(shm::Offset offset, const char* call) {
    if (const auto object = holder_of(offset))
        return ArrayStorage(*object);
    refuse(call, "lie in shared memory that belongs to no SharedArray, such as the argument of a "
                 "task, and may be gone before all workers are done with them; put them into a "
                 "SharedArray");
}

ArrayStorage storage_of(const void* begin, std::size_t bytes, const char* call) {
    runtime::Process& process = runtime::current();
    const shm::Offset offset =
        process.segment().offset_of(begin); // far off for what lies elsewhere
    if (process.segment().contains(offset, bytes))
        return storage_in_segment(offset, call);
    const auto file = process.file_mappings().find(begin);
    if (file && process.objects().acquire(file->array))
        return ArrayStorage(runtime::ObjectHandle::adopt(file->array));
    refuse(call,
           "lie in memory that only this process has; put them into a SharedArray, or use the "
           "algorithm of the same name in namespace std");
}

} // namespace

PlaceInSegment::PlaceInSegment(const void* begin, std::size_t bytes, const char* call)
    : object_(storage_of(begin, bytes, call)),
      distance_(static_cast<std::size_t>(static_cast<const std::byte*>(begin) - object_.data())) {
    const auto view = runtime::current().objects().view(object_.object().object());
    if (bytes_of_elements(view) - distance_ < bytes)
        refuse(call, "reach beyond the end of their SharedArray");
}

void PlaceInSegment::require_writable(const char* call) const {
    if (object_.in_file())
        object_.require_writable(call);
}

} // namespace dshm::detail
