#include "dshm/runtime/file_mappings.hpp"

#include <fcntl.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>

#include "dshm/runtime/object_handle.hpp"

namespace dshm::runtime {

namespace {

[[noreturn]] void refuse(const std::string& path, const std::string& what) {
    throw std::runtime_error("dshm: '" + path + "', which a SharedArray lies in, " + what);
}

os::FaultNote fault_note(const os::FileView& view, const std::string& path) {
    if (view.size() == 0)
        return {};
    return {view.data(), view.size(),
            "dshm: write to a SharedArray that can only be read: '" + path +
                "' was mapped with mode(\"r\"); map it with mode(\"r+\")\n",
            "dshm: access to a part of a SharedArray that its file does not have: '" + path +
                "' was cut while it was mapped, or its disk failed or is full\n"};
}

FilePlace place_in(const ArrayNote& note) {
    return {std::string(note.path()), note.file_offset, note.file_device, note.file_inode,
            note.read_only()};
}

void check_file(const FilePlace& place, const os::FileState& state, std::size_t bytes) {
    if (state.identity != os::FileIdentity{place.device, place.inode})
        refuse(place.path, "is another file now than the one that the array was made with: it was "
                           "replaced, or this process sees other directories");
    if (state.size < place.offset + bytes)
        refuse(place.path, "was cut: it has " + std::to_string(state.size) +
                               " bytes, and the "
                               "array ends at " +
                               std::to_string(place.offset + bytes));
}

os::Fd open_checked(const FilePlace& place, std::size_t bytes) {
    const int flags = place.read_only ? O_RDONLY : O_RDWR;
    os::Fd file(open(place.path.c_str(), flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    if (!file)
        refuse(place.path,
               std::string("cannot be opened in this process: ") + std::strerror(errno));
    check_file(place, os::state_of(file.get()), bytes);
    return file;
}

// What the system refuses `access` with, told with the path.
template <class F>
auto explained(const FilePlace& place, F&& access) {
    try {
        return access();
    } catch (const std::system_error& error) {
        refuse(place.path, std::string("cannot be mapped in this process: ") + error.what());
    }
}

os::FileView view_of(const FilePlace& place, std::size_t bytes) {
    return explained(place, [&] {
        const os::Fd file = open_checked(place, bytes);
        return os::FileView(file.get(), place.offset, bytes,
                            place.read_only ? os::FileAccess::read : os::FileAccess::write);
    });
}

void check_again(const FilePlace& place, std::size_t bytes) {
    explained(place, [&] { open_checked(place, bytes); });
}

} // namespace

// ------------------------------------------------------------------------------------------------
// Mapping and letting go
// ------------------------------------------------------------------------------------------------

FilePlace FileMappings::place_of(shm::ObjectTable::Ref array) const {
    const ArrayNote* note = ArrayNote::find(*segment_, objects_->view(array));
    if (note == nullptr)
        throw std::runtime_error("dshm: the description of this SharedArray is damaged");
    return place_in(*note);
}

FileMappings::Mapped FileMappings::map(shm::ObjectTable::Ref array, std::size_t bytes) const {
    const FilePlace place = place_of(array);
    Mapped mapped{view_of(place, bytes), {}, 0};
    mapped.note = fault_note(mapped.view, place.path);
    return mapped;
}

std::byte* FileMappings::hold(shm::ObjectTable::Ref array, std::size_t bytes) {
    const std::lock_guard guard(lock_);
    auto entry = mapped_.find(key(array));
    if (entry == mapped_.end()) {
        forget_gone_locked();
        entry = mapped_.emplace(key(array), map(array, bytes)).first;
    } else if (entry->second.handles == 0) {
        check_again(place_of(array), bytes);
        std::erase(kept_, entry->first);
        note_kept();
    }
    ++entry->second.handles;
    return entry->second.view.data();
}

std::byte* FileMappings::adopt(shm::ObjectTable::Ref array, os::FileView view,
                               const FilePlace& place) {
    Mapped mapped{std::move(view), {}, 1};
    mapped.note = fault_note(mapped.view, place.path);
    const std::lock_guard guard(lock_);
    forget_gone_locked();
    return mapped_.emplace(key(array), std::move(mapped)).first->second.view.data();
}

void FileMappings::let_go(shm::ObjectTable::Ref array) noexcept {
    const std::lock_guard guard(lock_);
    const auto entry = mapped_.find(key(array));
    if (entry == mapped_.end() || --entry->second.handles != 0)
        return;
    forget_gone_locked();
    if (kept_.size() == most_kept) {
        mapped_.erase(kept_.front());
        kept_.erase(kept_.begin());
    }
    kept_.push_back(key(array));
    note_kept();
}

void FileMappings::forget_gone() noexcept {
    const std::lock_guard guard(lock_);
    forget_gone_locked();
}

void FileMappings::forget_gone_locked() noexcept {
    std::erase_if(kept_, [this](std::uint64_t number) {
        return !objects_->is_live(array_of(number)) && mapped_.erase(number) != 0;
    });
    note_kept();
}

void FileMappings::note_kept() noexcept {
    keeps_any_.store(!kept_.empty(), std::memory_order_relaxed); // relaxed: a hint
}

// ------------------------------------------------------------------------------------------------
// Looking
// ------------------------------------------------------------------------------------------------

std::optional<FileMappings::Found> FileMappings::find(const void* address) const {
    const auto* at = static_cast<const std::byte*>(address);
    const std::lock_guard guard(lock_);
    for (const auto& [number, mapped] : mapped_)
        if (mapped.handles != 0 && at >= mapped.view.data() &&
            at < mapped.view.data() + mapped.view.size())
            return Found{array_of(number), mapped.view.data(), mapped.view.size()};
    return std::nullopt;
}

std::optional<FileMappings::Found> FileMappings::find(shm::ObjectTable::Ref array) const {
    const std::lock_guard guard(lock_);
    const auto entry = mapped_.find(key(array));
    if (entry == mapped_.end() || entry->second.handles == 0)
        return std::nullopt;
    return Found{array, entry->second.view.data(), entry->second.view.size()};
}

// Nobody holds them for us: what is found live after this process is entered keeps its pages.
bool is_mapped_in_session(const shm::Segment& segment, const shm::Heap& heap,
                          const shm::ObjectTable& objects, const FilePlace& file) {
    const auto reading = heap.reading();
    bool found = false;
    objects.for_each_live(object_kind::file_array,
                          [&](shm::ObjectTable::Ref, const shm::ObjectView& view) {
                              const ArrayNote* note = ArrayNote::find(segment, view);
                              found |= note != nullptr && note->file_device == file.device &&
                                       note->file_inode == file.inode;
                          });
    return found;
}

} // namespace dshm::runtime
