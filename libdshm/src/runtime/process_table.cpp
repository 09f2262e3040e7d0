#include "dshm/runtime/process_table.hpp"

#include <algorithm>

namespace dshm::runtime {

void ProcessTable::ring_everybody() const {
    for_each_backed([this](unsigned slot, ProcessArea& area) {
        const LifePhase phase = life(slot).phase;
        if (phase != LifePhase::none && phase != LifePhase::dead)
            area.bell.ring_always();
    });
}

void ProcessTable::tell_everybody_to_look() const {
    for_each_backed([](unsigned, ProcessArea& area) {
        area.looks.fetch_add(1, std::memory_order_release); // edge `look`
    });
    ring_everybody();
}

std::optional<unsigned> ProcessTable::slot_of(WorkerId id) const {
    std::optional<unsigned> found;
    for_each_backed([&](unsigned slot, ProcessArea&) {
        const Life now = life(slot);
        if (slot != shm::launcher_slot && now.id == id && now.phase != LifePhase::none &&
            now.phase != LifePhase::dead)
            found = slot;
    });
    return found;
}

std::optional<Member> ProcessTable::successor_of(WorkerId id) const {
    for (;;) {
        const Obituary& last = obituary(id < 0 ? 0 : id);
        const auto is_of_it = [&] {
            // acquire, edge `obituary`: the key is stored last.
            return last.key.load(std::memory_order_acquire) == static_cast<std::uint64_t>(id);
        };
        const bool there = is_of_it();
        const WorkerId next = last.successor;
        std::atomic_thread_fence(std::memory_order_acquire); // before the second look
        if (!there || !is_of_it() || next <= id)
            return std::nullopt;
        id = next;
        if (const auto slot = slot_of(id))
            return Member{id, {static_cast<std::uint8_t>(*slot), life(*slot).incarnation}};
    }
}

const std::vector<Membership::Member>& Membership::members() {
    // acquire, edge `membership`: lives announced before this epoch are seen below.
    const std::uint64_t epoch = segment_->header().membership_epoch.load(std::memory_order_acquire);
    if (epoch == epoch_)
        return members_;
    members_.clear();
    table_.for_each_backed([this](unsigned slot, ProcessArea&) {
        const Life life = table_.life(slot);
        if (slot != shm::launcher_slot && life.active())
            members_.push_back({life.id, {static_cast<std::uint8_t>(slot), life.incarnation}});
    });
    std::sort(members_.begin(), members_.end(),
              [](const Member& a, const Member& b) { return a.id < b.id; });
    epoch_ = epoch;
    return members_;
}

const Membership::Member* Membership::find(WorkerId id) {
    const std::vector<Member>& all = members();
    const auto at = std::lower_bound(
        all.begin(), all.end(), id, [](const Member& m, WorkerId wanted) { return m.id < wanted; });
    return at != all.end() && at->id == id ? &*at : nullptr;
}

} // namespace dshm::runtime
