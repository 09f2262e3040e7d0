#include "dshm/detail/shared_place.hpp"

#include <stdexcept>
#include <string>
#include <type_traits>

namespace dshm::detail {

static_assert(std::is_standard_layout_v<PlaceInSegment>,
              "a closure that holds one must be standard-layout to be sent");

PlaceInSegment::PlaceInSegment(const void* begin, std::size_t bytes, const char* call) {
    const shm::Segment& segment = runtime::current().segment();
    offset_ = segment.offset_of(begin); // far out of bounds for what lies elsewhere
    if (!segment.contains(offset_, bytes))
        throw std::invalid_argument(
            "dshm: " + std::string(call) +
            ": the elements lie in memory that only this process has; put them into a SharedArray, "
            "or use the algorithm of the same name in namespace std");
    address_ = segment.base() + offset_;
    find_holder(bytes, call);
}

void PlaceInSegment::find_holder(std::size_t bytes, const char* call) {
    shm::ObjectTable& objects = runtime::current().objects();
    std::size_t room = 0; // in the object, from the first element on
    const auto look = [&](shm::ObjectTable::Ref object, const shm::ObjectView& view) {
        if (room != 0 || offset_ < view.block || offset_ - view.block >= view.bytes ||
            !objects.acquire(object))
            return;
        object_ = runtime::ObjectHandle::adopt(object);
        room = view.bytes - (offset_ - view.block);
    };
    for (const std::uint64_t kind : {runtime::object_kind::array, runtime::object_kind::value})
        if (room == 0)
            objects.for_each_live(kind, look);
    if (room == 0)
        throw std::invalid_argument(
            "dshm: " + std::string(call) +
            ": the elements lie in shared memory that belongs to no SharedArray, such as the "
            "argument of a task, and may be gone before all workers are done with them; put them "
            "into a SharedArray");
    if (room < bytes)
        throw std::invalid_argument("dshm: " + std::string(call) +
                                    ": the elements reach beyond the end of their SharedArray");
}

PlaceInSegment::PlaceInSegment(const PlaceInSegment& other)
    : offset_(other.offset_), object_(other.object_) {
    if (ship::ShippingScope::current_sending() == nullptr)
        address_ = runtime::current().segment().base() + offset_;
}

} // namespace dshm::detail
