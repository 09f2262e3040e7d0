// Where elements lie in shared memory, or in a mapped file: what an iterator there becomes on its
// way to another process.
//
// A place holds the object (SharedArray or Shared value) that the elements belong to, so they stay
// there as long as anybody works on them, whoever dies. For the library: parallel.hpp is the way in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>

#include "dshm/detail/array_storage.hpp"

namespace dshm::detail {

class PlaceInSegment {
public:
    using shipped_by_copy = void; // see ship/shipping.hpp

    // Throws std::invalid_argument, naming `call`, for bytes that are not shared, belong to no object
    // of these kinds, or reach out of theirs. O(live objects).
    PlaceInSegment(const void* begin, std::size_t bytes, const char* call);
    PlaceInSegment(const PlaceInSegment&) = default;
    PlaceInSegment& operator=(const PlaceInSegment&) = delete;

    // In this process.
    std::byte* address() const { return object_.data() + distance_; }
    // Throws std::logic_error, naming `call`, in a file that can only be read.
    void require_writable(const char* call) const;

private:
    ArrayStorage object_;
    std::size_t distance_ = 0; // from its first byte
};

// n elements in slices that differ by one at most.
struct SliceShape {
    std::size_t size, slices;
    std::size_t first(std::size_t slice) const {
        return slice * (size / slices) + std::min(slice, size % slices);
    }
};

// The place of [first, last), which is not empty.
template <std::contiguous_iterator It>
PlaceInSegment place_of(It first, It last, const char* call) {
    return {std::to_address(first),
            static_cast<std::size_t>(last - first) * sizeof(std::iter_value_t<It>), call};
}

} // namespace dshm::detail
