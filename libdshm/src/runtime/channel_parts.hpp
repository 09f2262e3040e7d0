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
// Closes the last ring, so that nothing is put any more.
void end_rings(const shm::Segment& segment, ChannelHead& head);
// The first exception stays. Its block belongs to the channel before anybody can find it.
void set_exception(Process& process, ChannelHead& head, shm::Tag tag,
                   const ship::ExceptionRecord& exception);

} // namespace dshm::runtime::channel_parts
