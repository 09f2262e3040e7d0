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

SoundRings::SoundRings(Process& process, shm::ObjectTable::Ref object, shm::Offset block)
    : process_(&process), tag_(shm::Tag::object(object.index, object.generation)) {
    const shm::Heap& heap = process.heap();
    constexpr std::size_t least = base::cache_line + sizeof(ChannelHead) + sizeof(Ring);
    if (heap.tag_of(block).bits != tag_.bits || heap.room_of(block) < least ||
        !process.segment().readable(block, least))
        return;
    head_ = &Channel::head_in(process.segment().base() + block);
    first_ = ring_at(block, sizeof(ChannelHead));
}

// A larger one is its maker's until that has said that it is the channel's.
bool SoundRings::is_ours(shm::Offset block) const {
    const shm::Tag tag = process_->heap().tag_of(block);
    return tag.bits == tag_.bits || tag.kind() == shm::TagKind::own;
}

// The ring so far behind the beginning of a block, if there is one that fits into it.
Ring* SoundRings::ring_at(shm::Offset block, std::size_t distance) const {
    const shm::Segment& segment = process_->segment();
    const std::size_t room = is_ours(block) ? process_->heap().room_of(block) : 0;
    if (room < base::cache_line + sizeof(Ring) || !segment.readable(block, room))
        return nullptr;
    std::byte* const start = segment.base() + block;
    auto* const ring = reinterpret_cast<Ring*>(aligned(start) + distance);
    const auto before = static_cast<std::size_t>(reinterpret_cast<std::byte*>(ring) - start);
    const std::size_t least_payload = head_->in_blocks != 0 ? sizeof(Item) : 0;
    return before <= room && ring->fits(room - before, least_payload) ? ring : nullptr;
}

Ring* SoundRings::after(const Ring& ring) const {
    const std::uint64_t next = ring.end();
    Ring* const found = next > Ring::closed ? ring_at(next, 0) : nullptr;
    return found != nullptr && found->capacity() / 2 >= ring.capacity() ? found : nullptr;
}

void end_rings(const SoundRings& rings) {
    for (Ring* ring = rings.first(); ring != nullptr && !ring->end(Ring::closed);)
        ring = rings.after(*ring); // null: closed already
}

void set_exception(Process& process, ChannelHead& head, shm::Tag tag,
                   const ship::ExceptionRecord& exception) {
    const std::uint64_t size = ship::footprint(exception).size;
    const shm::Tag own = shm::Tag::own(process.me());
    const shm::Block block = process.heap().allocate(exception_start + size, own);
    std::byte* const bytes = process.segment().base() + block.offset;
    std::memcpy(bytes, &size, sizeof size);
    ship::Writer writer(bytes + exception_start, size);
    ship::encode(writer, exception);
    std::uint64_t none = 0;
    if (head.exception.compare_exchange(none, block.offset, std::memory_order_acq_rel,
                                        std::memory_order_relaxed)) // relaxed: not used
        process.heap().retag(block.offset, own, tag);
    else
        process.heap().free(block.offset, own);
}

} // namespace dshm::runtime::channel_parts
