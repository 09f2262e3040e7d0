// Memory that could still be had, by this process, without anybody being killed for it.
#pragma once

#include <cstddef>

namespace dshm::os {

// Bytes: the least of what the machine has available (MemAvailable and free swap), and of what each
// memory cgroup above this process has left, page cache that can be dropped not counted as used. All
// bits set where nothing says. Reads a few small files: some 50 µs.
std::size_t memory_left();

} // namespace dshm::os
