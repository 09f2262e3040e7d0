// The end of a channel, and the death of a process that worked on it.
#include <algorithm>
#include <cstring>
#include <thread>

#include "channel_parts.hpp"
#include "dshm/base/scope_guard.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

using namespace channel_parts;

namespace {

void free_messages(shm::Heap& heap, shm::Tag tag, const Ring& ring) {
    const queue::CellArray cells = ring.cells();
    for (std::uint64_t i = 0; i < cells.count; ++i)
        if (const Item item = item_in(Channel::Cursor(cells, i).payload()); item.block != 0)
            heap.free(item.block, tag);
}

} // namespace

void dispose_of_channel(Process& process, shm::ObjectTable::Ref object, std::byte* block) {
    const shm::Tag tag = shm::Tag::object(object.index, object.generation);
    const SoundRings rings(process, object, process.segment().offset_of(block));
    if (rings.head() == nullptr)
        return;
    shm::Heap& heap = process.heap();
    if (const std::uint64_t exception = rings.head()->exception.load(std::memory_order_acquire))
        heap.free(exception, tag);
    std::vector<shm::Offset> blocks;
    rings.for_each([&](const Ring& ring) {
        if (rings.head()->in_blocks != 0)
            free_messages(heap, tag, ring);
        if (ring.end() > Ring::closed)
            blocks.push_back(ring.end());
    });
    for (const shm::Offset larger_ring : blocks)
        heap.free(larger_ring, tag);
}

namespace {

std::vector<ship::HandleRef> handles_of(const shm::Segment& segment, const Item& item) {
    const std::size_t bytes = item.handles * sizeof(ship::HandleRef);
    std::vector<ship::HandleRef> handles(item.size >= bytes ? item.handles : 0);
    if (!handles.empty())
        std::memcpy(handles.data(), segment.base() + item.block + item.size - bytes, bytes);
    return handles;
}

// A message that was being put: its block, if it had been handed over, goes. One that was being
// taken: it is there again, unless its block had become the taker's.
void release_cell(Process& launcher, shm::Tag tag, const Ring& ring, queue::CellPhase phase,
                  std::uint64_t position, std::byte* payload) {
    const Item item = item_in(payload);
    if (item.block == 0)
        return;
    if (item.lap != lap_of(ring, position))
        return forget_item(payload); // it had not written its own yet
    const bool handed_over = launcher.heap().tag_of(item.block).bits == tag.bits;
    if (phase == queue::CellPhase::writing && handed_over)
        launcher.heap().free(item.block, tag);
    if (phase == queue::CellPhase::writing || !handed_over)
        forget_item(payload);
}

// A message of the dead that is under way still: its block is the channel's after the item was read,
// and as the launcher is entered as a reader, keeps its pages while it is looked at.
bool is_under_way(Process& launcher, shm::Tag tag, shm::Owner dead, const Item& item) {
    if (item.block == 0 || item.handles == 0 || item.slot != dead.slot)
        return false;
    std::atomic_thread_fence(std::memory_order_acquire);
    return launcher.heap().tag_of(item.block).bits == tag.bits &&
           item.size <= launcher.heap().room_of(item.block) &&
           launcher.segment().readable(item.block, item.size);
}

bool same(const Item& a, const Item& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

// Handles in messages of the dead are held by its pins, which end with it.
void take_over_pins(Process& launcher, const SoundRings& rings, shm::Tag tag, shm::Owner dead) {
    rings.for_each([&](const Ring& ring) {
        const queue::CellArray cells = ring.cells();
        for (std::uint64_t i = 0; i < cells.count; ++i) {
            const std::byte* const payload = Channel::Cursor(cells, i).payload();
            const Item item = item_in(payload);
            // Read twice: somebody may be writing over it.
            if (is_under_way(launcher, tag, dead, item) && same(item, item_in(payload)))
                launcher.holdings().pin_block(item.block, tag,
                                              handles_of(launcher.segment(), item));
        }
    });
}

// Blocks that the dead had linked and not yet handed over: its own blocks are freed after this.
void adopt_linked(Process& launcher, const SoundRings& rings, shm::Tag tag, shm::Owner dead) {
    const auto adopt = [&](shm::Offset block) {
        launcher.heap().retag(block, shm::Tag::own(dead), tag);
    };
    if (const auto exception = rings.head()->exception.load(std::memory_order_acquire))
        adopt(exception);
    rings.for_each([&](const Ring& ring) {
        if (ring.end() > Ring::closed)
            adopt(ring.end());
    });
}

bool closes_with(const ChannelHead& head, WorkerId id) {
    return std::any_of(head.bound.begin(), head.bound.end(), [id](const shm::Word64& bound) {
        return bound.load(std::memory_order_seq_cst) == static_cast<std::uint64_t>(id);
    });
}

// One that somebody is ending at this moment is gone at once, or live again, unless it is stopped;
// then nobody but one that has just found it by its name can have it. `patience`: looks that are left in
// this pass.
bool acquire_patiently(shm::ObjectTable& objects, shm::ObjectTable::Ref object, int& patience) {
    while (objects.is_live(object)) {
        if (objects.acquire(object))
            return true;
        if (patience-- <= 0)
            return false;
        std::this_thread::yield();
    }
    return false;
}

// A full segment must not be the end of the session: who asks is told less then (Channel::throw_ended).
void note_exception(Process& launcher, ChannelHead& head, shm::Tag tag, WorkerId id,
                    const std::string& how) {
    try {
        set_exception(launcher, head, tag, ship::process_exited_record(id, how));
    } catch (const SharedMemoryExhausted&) {
    }
}

} // namespace

// Each is held while it is changed: the last of its other holders may drop it meanwhile, and then the
// launcher frees it.
void recover_channels(Process& launcher, shm::Owner dead, WorkerId id, const std::string& how) {
    int patience = 1000;
    const auto recover = [&](shm::ObjectTable::Ref object, const shm::ObjectView& view) {
        if (!acquire_patiently(launcher.objects(), object, patience))
            return;
        const base::ScopeGuard release([&] { launcher.objects().release(object); });
        const shm::Tag tag = shm::Tag::object(object.index, object.generation);
        const SoundRings rings(launcher, object, view.block);
        if (rings.head() == nullptr)
            return;
        ChannelHead& head = *rings.head();
        adopt_linked(launcher, rings, tag, dead);
        rings.for_each([&](Ring& ring) {
            ring.recover(dead, [&](queue::CellPhase phase, std::uint64_t at, std::byte* payload) {
                if (head.in_blocks != 0)
                    release_cell(launcher, tag, ring, phase, at, payload);
            });
        });
        if (head.in_blocks != 0)
            take_over_pins(launcher, rings, tag, dead);
        head.takers.clear(dead.slot, std::memory_order_seq_cst);
        head.putters.clear(dead.slot, std::memory_order_seq_cst);
        // It may have died as it closed the channel, between saying so and ending the rings: without
        // their end takers would wait on, and putters put.
        if (head.state.load(std::memory_order_seq_cst) !=
            static_cast<std::uint64_t>(ChannelState::open))
            end_rings(rings);
        const bool lost = head.owner == static_cast<std::uint64_t>(id);
        if (!lost && !closes_with(head, id))
            return;
        note_exception(launcher, head, tag, id, how);
        std::uint64_t open = static_cast<std::uint64_t>(ChannelState::open);
        if (lost)
            head.state.store(static_cast<std::uint64_t>(ChannelState::lost),
                             std::memory_order_seq_cst);
        else
            head.state.compare_exchange(open, static_cast<std::uint64_t>(ChannelState::closed),
                                        std::memory_order_seq_cst, std::memory_order_relaxed);
        end_rings(rings);
    };
    launcher.objects().for_each_live(object_kind::channel, recover);
}

} // namespace dshm::runtime
