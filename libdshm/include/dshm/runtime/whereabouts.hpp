// Which awake processes share a processor.
//
// A process that spins on a processor where another one wants to run takes it away from exactly
// that one, often the one that it waits for: the kernel likes to start a woken process on the
// processor of its waker. (Measured with two processes on two processors: 48 µs a round trip while
// they sit on one and spin for 20 µs, 0.14 µs apart.) So every process says on which processor it
// is, and whoever finds another one there yields instead of pausing; the kernel then moves one of
// them away.
//
// One mask of processes for each processor, on a line of its own. A bit is set and cleared by its
// own process, and by recovery after a death. All of it is a hint: a stale bit costs yields, a
// missing one costs a time slice.
#pragma once

#include "dshm/shm/segment.hpp"

namespace dshm::runtime {

class Whereabouts {
public:
    Whereabouts(const shm::Segment& segment, unsigned slot) : segment_(&segment), slot_(slot) {}

    // Says where the calling thread is; true when somebody else is awake on the same processor. A
    // few ns.
    bool crowded() const;
    // The calling thread goes to sleep.
    void leave() const;
    // The launcher, after a death.
    void forget(unsigned slot) const;

private:
    shm::ProcessMask& mask(unsigned processor) const {
        return *segment_->at<shm::ProcessMask>(segment_->geometry().processors +
                                               processor % shm::processor_lines * base::cache_line);
    }

    const shm::Segment* segment_;
    unsigned slot_;
};

} // namespace dshm::runtime
