// What a named channel is called, for whoever lists names: behind the channel in its block.
//
//   0             4             8
//   | name length | type length | name, type, without ends
//
// Written before the channel has its name and not changed afterwards. The second user word of the
// object's description has its size, or 0 where there is none.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "dshm/shm/object_table.hpp"

namespace dshm::runtime {

struct ChannelTexts {
    std::string name;
    std::string type;

    // 0 for a channel without a name.
    static std::size_t bytes_for(std::string_view name, std::string_view type);
    static void write(std::byte* target, std::string_view name, std::string_view type);
    // Of a live channel; nothing when it has none, or its lengths reach further than it says.
    static std::optional<ChannelTexts> find(const shm::Segment& segment,
                                            const shm::ObjectView& view);
};

} // namespace dshm::runtime
