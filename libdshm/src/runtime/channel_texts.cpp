#include "dshm/runtime/channel_texts.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <stdexcept>

namespace dshm::runtime {

namespace {

using Lengths = std::array<std::uint32_t, 2>;
constexpr std::size_t longest = 4096;

} // namespace

std::size_t ChannelTexts::bytes_for(std::string_view name, std::string_view type) {
    if (name.size() > longest)
        throw std::invalid_argument("dshm: a name of more than 4096 bytes");
    return name.empty() ? 0 : sizeof(Lengths) + name.size() + type.size();
}

void ChannelTexts::write(std::byte* target, std::string_view name, std::string_view type) {
    const Lengths lengths{static_cast<std::uint32_t>(name.size()),
                          static_cast<std::uint32_t>(type.size())};
    std::memcpy(target, lengths.data(), sizeof lengths);
    std::memcpy(target + sizeof lengths, name.data(), name.size());
    std::memcpy(target + sizeof lengths + name.size(), type.data(), type.size());
}

std::optional<ChannelTexts> ChannelTexts::find(const shm::Segment& segment,
                                               const shm::ObjectView& view) {
    const std::uint64_t size = view.description.user[1];
    const shm::Offset offset = shm::ObjectTable::note_offset(view.block, view.bytes);
    Lengths lengths{};
    if (size < sizeof lengths || !segment.readable(offset, size))
        return std::nullopt;
    const std::byte* const note = segment.at<std::byte>(offset);
    std::memcpy(lengths.data(), note, sizeof lengths);
    if (std::uint64_t{lengths[0]} + lengths[1] + sizeof lengths > size)
        return std::nullopt;
    const char* const texts = reinterpret_cast<const char*>(note) + sizeof lengths;
    return ChannelTexts{{texts, lengths[0]}, {texts + lengths[0], lengths[1]}};
}

} // namespace dshm::runtime
