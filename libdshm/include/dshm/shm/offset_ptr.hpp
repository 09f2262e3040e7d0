// Pointers that mean the same wherever the segment is mapped, from Boost.Interprocess: they keep
// their distance to what they point to, so both must lie in the segment. For the allocator.
#pragma once

#include <boost/interprocess/offset_ptr.hpp>

namespace dshm::shm {

template <class T>
using OffsetPtr = boost::interprocess::offset_ptr<T>;

} // namespace dshm::shm
