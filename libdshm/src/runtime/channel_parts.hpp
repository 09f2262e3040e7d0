// What a channel consists of in the segment, for the two files that work on it.
#pragma once

#include <cstdint>
#include <vector>

#include "dshm/runtime/channel.hpp"

namespace dshm::runtime::channel_parts {

using Ring = Channel::Ring;

std::byte* aligned(std::byte* address);
Ring& first_ring(ChannelHead& head);
// The larger ring behind a full one, or null.
Ring* ring_after(const shm::Segment& segment, const Ring& ring);
// What a cell's Item says of its lap.
std::uint64_t lap_of(const Ring& ring, std::uint64_t position);
Item item_in(const std::byte* payload);
void forget_item(std::byte* payload);
// The rings of a channel for one that must not rely on what lies there, because a process may have
// written anything before it died: a walk ends at what does not fit into the block that it lies in, and
// each ring is twice as large as the one before, at least, so it ends. No head when there is no channel.
class SoundRings {
public:
    SoundRings(Process& process, shm::ObjectTable::Ref object, shm::Offset block);

    ChannelHead* head() const { return head_; }
    Ring* first() const { return first_; }
    Ring* after(const Ring& ring) const;
    template <class F>
    void for_each(F&& f) const {
        for (Ring* ring = first_; ring != nullptr; ring = after(*ring))
            f(*ring);
    }

private:
    Ring* ring_at(shm::Offset block, std::size_t distance) const;
    bool is_ours(shm::Offset block) const;

    Process* process_;
    shm::Tag tag_;
    ChannelHead* head_ = nullptr;
    Ring* first_ = nullptr;
};

// Closes the last ring, so that nothing is put any more.
void end_rings(const SoundRings& rings);
// In the block of an exception: its size at the beginning, and from here on itself, aligned as it was
// measured.
inline constexpr std::size_t exception_start = ship::block_alignment;
// The first exception stays. Its block becomes the channel's when it is linked, as a ring's does (grow).
void set_exception(Process& process, ChannelHead& head, shm::Tag tag,
                   const ship::ExceptionRecord& exception);

} // namespace dshm::runtime::channel_parts
