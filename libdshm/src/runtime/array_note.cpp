#include "dshm/runtime/array_note.hpp"

#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>

#include "dshm/runtime/names.hpp"

namespace dshm::runtime {

namespace {

std::uint32_t length_of(std::size_t length) {
    if (length > std::numeric_limits<std::uint32_t>::max())
        throw std::length_error("dshm: a name, type or path of more than 4 GiB");
    return static_cast<std::uint32_t>(length);
}

std::string_view path_of(const ArrayPlan& plan) {
    return plan.file ? std::string_view(plan.file->path) : std::string_view();
}

} // namespace

std::size_t ArrayNote::bytes_for(const ArrayPlan& plan) {
    return sizeof(ArrayNote) + plan.participants.size() * sizeof(WorkerId) + plan.name.size() +
           plan.type.size() + path_of(plan).size();
}

void ArrayNote::write(std::byte* target, const ArrayPlan& plan) {
    auto* const note = ::new (target) ArrayNote{};
    note->type_hash = hash_of_name(plan.type_key);
    note->dimensions = plan.dimensions;
    note->participant_count = length_of(plan.participants.size());
    note->name_length = length_of(plan.name.size());
    note->type_length = length_of(plan.type.size());
    note->path_length = length_of(path_of(plan).size());
    if (plan.file) {
        note->flags = plan.file->read_only ? read_only_flag : 0;
        note->file_offset = plan.file->offset;
        note->file_device = plan.file->device;
        note->file_inode = plan.file->inode;
    }
    std::byte* to = target + sizeof(ArrayNote);
    const auto append = [&to](const void* from, std::size_t size) {
        if (size != 0)
            std::memcpy(to, from, size);
        to += size;
    };
    append(plan.participants.data(), plan.participants.size() * sizeof(WorkerId));
    for (const std::string_view text : {std::string_view(plan.name), plan.type, path_of(plan)})
        append(text.data(), text.size());
}

ArrayNote* ArrayNote::find(const shm::Segment& segment, const shm::ObjectView& view) {
    const bool in_file = view.description.kind == object_kind::file_array;
    const shm::Offset offset =
        in_file ? view.block : shm::ObjectTable::note_offset(view.block, view.bytes);
    if (!segment.readable(offset, sizeof(ArrayNote)))
        return nullptr;
    auto* const note = segment.at<ArrayNote>(offset);
    return segment.readable(offset, note->size()) ? note : nullptr;
}

// At most 20 GiB: does not overflow.
std::size_t ArrayNote::size() const {
    return sizeof(ArrayNote) + participant_count * sizeof(WorkerId) + name_length +
           std::size_t{type_length} + path_length;
}

std::span<const WorkerId> ArrayNote::participants() const {
    return {reinterpret_cast<const WorkerId*>(variable_part()), participant_count};
}

std::string_view ArrayNote::text(std::size_t begin, std::size_t length) const {
    const std::byte* const texts = variable_part() + participant_count * sizeof(WorkerId);
    return {reinterpret_cast<const char*>(texts) + begin, length};
}

} // namespace dshm::runtime
