#include "channel_parts.hpp"

#include <cstring>

#include "dshm/runtime/process.hpp"

namespace dshm::runtime::channel_parts {

std::byte* aligned(std::byte* address) {
    return reinterpret_cast<std::byte*>(base::round_up(reinterpret_cast<std::uintptr_t>(address),
                                                       std::uintptr_t{base::cache_line}));
}

Ring& first_ring(ChannelHead& head) {
    return *reinterpret_cast<Ring*>(reinterpret_cast<std::byte*>(&head) + sizeof(ChannelHead));
}

Ring* ring_after(const shm::Segment& segment, const Ring& ring) {
    const std::uint64_t next = ring.end();
    return next > Ring::closed ? reinterpret_cast<Ring*>(aligned(segment.base() + next)) : nullptr;
}

std::uint64_t lap_of(const Ring& ring, std::uint64_t position) {
    return position / ring.capacity() & 0xffff;
}

Item item_in(const std::byte* payload) {
    Item item;
    std::memcpy(&item, payload, sizeof item);
    return item;
}

void forget_item(std::byte* payload) {
    Item item = item_in(payload);
    item.block = 0;
    std::memcpy(payload, &item, sizeof item);
}

void end_rings(const shm::Segment& segment, ChannelHead& head) {
    Ring* ring = &first_ring(head);
    while (!ring->end(Ring::closed)) {
        Ring* const next = ring_after(segment, *ring);
        if (next == nullptr)
            return; // closed already
        ring = next;
    }
}

void set_exception(Process& process, ChannelHead& head, shm::Tag tag,
                   const ship::ExceptionRecord& exception) {
    const ship::Footprint need = ship::footprint(exception, std::uint64_t{0});
    const shm::Block block = process.heap().allocate(need.size + sizeof(std::uint64_t), tag);
    ship::Writer writer(process.segment().base() + block.offset, need.size);
    ship::encode(writer, std::uint64_t{need.size}, exception);
    std::uint64_t none = 0;
    if (!head.exception.compare_exchange(none, block.offset, std::memory_order_acq_rel,
                                         std::memory_order_relaxed)) // relaxed: not used
        process.heap().free(block.offset, tag);
}

} // namespace dshm::runtime::channel_parts
