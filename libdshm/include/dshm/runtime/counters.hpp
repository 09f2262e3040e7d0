// Counters of one process, in its own lines of the segment: written by it alone, read by everybody.
#pragma once

#include <sys/single_threaded.h>

#include "dshm/runtime/process_table.hpp"

namespace dshm::runtime {

class CounterRow {
public:
    explicit CounterRow(ProcessArea& area) : counts_(&area.counts) {}

    void add(Count what, std::uint64_t amount = 1) {
        shm::Word64& count = (*counts_)[static_cast<unsigned>(what)];
        // relaxed: a statistic. Only this process writes it, so one thread need not swap.
        if (__libc_single_threaded)
            count.store(count.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
        else
            count.fetch_add(amount, std::memory_order_relaxed);
    }
    std::uint64_t get(Count what) const {
        return (*counts_)[static_cast<unsigned>(what)].load(std::memory_order_relaxed);
    }

private:
    std::array<shm::Word64, static_cast<unsigned>(Count::number)>* counts_;
};

} // namespace dshm::runtime
