// dshm::memory_resource(): std::pmr containers in the segment.
//
//     using Map = std::pmr::map<int, int>;
//     dshm::SegmentPtr<Map> map = dshm::construct<Map>();   // with this resource, and all inside it
//     dshm::fetch_from(2, [map] { (*map)[1] = 10; });
//
// These containers use plain pointers, to their nodes and to the resource. Workers that were forked
// have segment and library where the master has them: there they can be read and changed. Fresh workers
// (Start::exec) and attached programs have the library elsewhere and can only read them, and that only if
// `segment_at_masters_address()`. Containers with dshm::Allocator work in all of them.
//
// Blocks live as in allocator.hpp: until they are freed by any process, or with the session.
#pragma once

#include <memory_resource>

namespace dshm {

// One object for each process, which is never destroyed. allocate throws SharedMemoryExhausted,
// std::bad_alloc for an alignment above 64 KiB, and std::logic_error without a session.
std::pmr::memory_resource* memory_resource() noexcept;

// Whether plain pointers into the segment mean the same here as in the master. Throws
// std::logic_error without a session.
bool segment_at_masters_address();

} // namespace dshm
