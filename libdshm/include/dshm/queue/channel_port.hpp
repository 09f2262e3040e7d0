// A thread's place at one side of a channel's ring.
//
// Private memory, one thread at a time (or one fiber after the other on one thread). It remembers where it
// left off and holds the role of its side while it is alone; a port that goes away gives the role back. Ports of a
// process share its name in the cells, so what a dead process had begun is found whichever thread it was.
// A copy of a port in a forked child must not be used: it would be a second holder of one role.
//
// What happens if the process dies at any point: a put has happened if `full` was stored, a take if the cell
// was emptied; else recovery voids or returns the cell.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

#include "dshm/queue/channel_ring.hpp"

namespace dshm::queue {

// Number of a port in its process: with slot and incarnation the name of a role's holder.
inline std::uint32_t next_port_number() {
    static std::atomic<std::uint32_t> last{0};
    // relaxed: a number of one's own is all.
    return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

template <template <class> class Atomic = shm::Word, class Fence = os::ProcessFence>
class ChannelPort {
public:
    using Ring = ChannelRing<Atomic, Fence>;
    using Cursor = typename Ring::Cursor;
    using Roles = typename Ring::Roles;
    ChannelPort(const ChannelPort&) = delete;
    ChannelPort& operator=(const ChannelPort&) = delete;

    Ring& ring() const { return ring_; }

protected:
    // The shared hint is moved once for so many cells: it serves newcomers and estimates.
    static constexpr std::uint64_t hint_grain = 16;

    ChannelPort(Ring& resident, Roles& roles, shm::Owner me, typename Ring::Marker marker)
        : ring_(resident), roles_(roles), marker_(marker), cells_(resident.cells()),
          hinted_(roles.hint()), cursor_(cells_, hinted_), me_(me.bits()) {
        holder_.word = RoleWord::make(me, next_port_number());
        holder_.shared = roles.all_retired();
        if (!resident.joined())
            throw std::runtime_error(
                "dshm: this process may not use membarrier, on which the one that "
                "made the channel relies; run both under the same restrictions");
    }
    ~ChannelPort() { roles_.release(holder_); }

    void advance() {
        cursor_.advance(cells_);
        hint();
    }
    void hint() {
        if (cursor_.position - hinted_ >= hint_grain)
            roles_.set_hint(hinted_ = cursor_.position);
    }

    Ring& ring_;
    Roles& roles_;
    typename Ring::Marker marker_;
    CellArray cells_;
    std::uint64_t hinted_;
    Cursor cursor_;
    std::uint64_t me_;
    typename Roles::Holder holder_;
};

} // namespace dshm::queue
