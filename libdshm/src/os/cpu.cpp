#include "dshm/os/cpu.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace dshm::os {

namespace {

// The mask of the kernel may be wider than cpu_set_t: widen until it fits.
int count_affinity_mask() noexcept {
    for (std::size_t processors = 1024; processors <= 1u << 16; processors *= 2) {
        std::vector<unsigned long> mask(processors / (8 * sizeof(unsigned long)));
        const std::size_t bytes = mask.size() * sizeof(unsigned long);
        auto* set = reinterpret_cast<cpu_set_t*>(mask.data());
        if (sched_getaffinity(0, bytes, set) == 0)
            return CPU_COUNT_S(bytes, set);
    }
    return static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
}

} // namespace

int cpu_count() noexcept {
    static const int count = std::max(1, count_affinity_mask());
    return count;
}

} // namespace dshm::os
