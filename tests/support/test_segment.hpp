// A small segment of a test's own. Its name is taken away at once, so nothing stays behind however
// the test ends.
#pragma once

#include <unistd.h>

#include <atomic>
#include <string>

#include "dshm/shm/segment.hpp"

namespace dshm::test {

inline shm::Segment make_segment(std::size_t capacity = shm::min_capacity) {
    static std::atomic<int> count{0};
    shm::SegmentOptions options;
    options.name = "test." + std::to_string(getpid()) + "." + std::to_string(count++);
    options.capacity = capacity;
    shm::Segment segment = shm::Segment::create(options);
    segment.unlink();
    return segment;
}

} // namespace dshm::test
