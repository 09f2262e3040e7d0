#include "dshm/runtime/whereabouts.hpp"

#include <sched.h>

namespace dshm::runtime {

namespace {

constexpr unsigned nowhere = ~0u;

// Where this thread said it is, and in which segment.
struct Said {
    const shm::Segment* segment = nullptr;
    unsigned processor = nowhere;
};
thread_local Said said;

} // namespace

bool Whereabouts::crowded() const {
    const int here = sched_getcpu();
    if (here < 0)
        return false;
    const auto processor = static_cast<unsigned>(here);
    shm::ProcessMask& others = mask(processor);
    if (said.segment != segment_ || said.processor != processor) {
        leave();
        said = {segment_, processor};
        others.set(slot_, std::memory_order_relaxed); // relaxed, here and below: hints
    }
    for (unsigned w = 0; w < others.words.size(); ++w) {
        const std::uint64_t mine = w == slot_ / 64 ? shm::ProcessMask::bit(slot_) : 0;
        if ((others.words[w].load(std::memory_order_relaxed) & ~mine) != 0)
            return true;
    }
    return false;
}

void Whereabouts::leave() const {
    if (said.segment == segment_ && said.processor != nowhere)
        mask(said.processor).clear(slot_, std::memory_order_relaxed);
    said.processor = nowhere;
}

void Whereabouts::forget(unsigned slot) const {
    for (unsigned processor = 0; processor < shm::processor_lines; ++processor)
        if (mask(processor).test(slot, std::memory_order_relaxed))
            mask(processor).clear(slot, std::memory_order_relaxed);
}

} // namespace dshm::runtime
