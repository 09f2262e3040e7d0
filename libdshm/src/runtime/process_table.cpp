#include "dshm/runtime/process_table.hpp"

#include <algorithm>

namespace dshm::runtime {

void ProcessTable::ring_everybody() const {
    for (unsigned slot = 0; slot < shm::max_processes; ++slot) {
        // An area that was never backed must not be touched.
        const shm::Offset offset =
            segment_->geometry().processes + slot * shm::process_area_size;
        if (!segment_->backing().backed(offset / shm::chunk_size))
            continue;
        const LifePhase phase = life(slot).phase;
        if (phase != LifePhase::none && phase != LifePhase::dead)
            area(slot).bell.ring_always();
    }
}

const std::vector<Membership::Member>& Membership::members() {
    // acquire, edge `membership`: lives announced before this epoch are seen below.
    const std::uint64_t epoch =
        segment_->header().membership_epoch.load(std::memory_order_acquire);
    if (epoch == epoch_)
        return members_;
    members_.clear();
    for (unsigned slot = 0; slot < shm::max_processes; ++slot) {
        const shm::Offset offset =
            segment_->geometry().processes + slot * shm::process_area_size;
        if (slot == shm::launcher_slot || !segment_->backing().backed(offset / shm::chunk_size))
            continue;
        const Life life = table_.life(slot);
        if (life.active())
            members_.push_back({life.id, {static_cast<std::uint8_t>(slot), life.incarnation}});
    }
    std::sort(members_.begin(), members_.end(),
              [](const Member& a, const Member& b) { return a.id < b.id; });
    epoch_ = epoch;
    return members_;
}

const Membership::Member* Membership::find(WorkerId id) {
    const std::vector<Member>& all = members();
    const auto at = std::lower_bound(all.begin(), all.end(), id,
                                     [](const Member& m, WorkerId wanted) { return m.id < wanted; });
    return at != all.end() && at->id == id ? &*at : nullptr;
}

} // namespace dshm::runtime
