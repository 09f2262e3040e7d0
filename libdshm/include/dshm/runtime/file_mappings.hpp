// The files of arrays in this process: each is mapped with its first handle here, and unmapped when
// its array is gone.
//
// A loop's body is often all that a worker has of an array, and each page of a new mapping costs it
// a fault; so the last handle here leaves the mapping for the next one. The eight that were let go last
// are kept so, while somebody else holds their arrays: who drops the last handle of all unmaps at
// once, others when they next map or let go of a file, or go to sleep.
//
// A process opens the file by the path in the array's note, and takes it only if it is the file that
// the maker had open: one that was replaced or cut meanwhile is an error, also where a mapping was
// kept. The descriptor is closed at once. Nobody truncates but the maker. An access that faults all the same, a write to what may
// only be read, or one to what was cut off, is explained on standard error (os/faults.hpp).
//
// Private to the process: one that dies leaves nothing, and the files of others are not touched. For
// ArrayStorage; any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "dshm/os/faults.hpp"
#include "dshm/os/file_view.hpp"
#include "dshm/runtime/array_note.hpp"
#include "dshm/shm/object_table.hpp"

namespace dshm::runtime {

class FileMappings {
public:
    static constexpr std::size_t most_kept = 8;

    FileMappings(const shm::Segment& segment, const shm::ObjectTable& objects)
        : segment_(&segment), objects_(&objects) {
        kept_.reserve(most_kept); // so that letting go never allocates
    }

    // Where the `bytes` bytes of a file_array lie, for a handle that the caller has taken; let_go
    // belongs to each. O(1) but for the first after none. Throws std::runtime_error with path and reason.
    std::byte* hold(shm::ObjectTable::Ref array, std::size_t bytes);
    // The same with the maker's own mapping.
    std::byte* adopt(shm::ObjectTable::Ref array, os::FileView view, const FilePlace& place);
    void let_go(shm::ObjectTable::Ref array) noexcept;
    // Unmaps what is kept of arrays that are gone.
    void forget_gone() noexcept;
    bool keeps_any() const {
        return keeps_any_.load(std::memory_order_relaxed); // relaxed: a hint
    }

    struct Found {
        shm::ObjectTable::Ref array;
        std::byte* data;
        std::size_t bytes;
    };
    // The array held here whose elements lie there, and of this array. O(files mapped) for the first.
    std::optional<Found> find(const void* address) const;
    std::optional<Found> find(shm::ObjectTable::Ref array) const;

private:
    struct Mapped {
        os::FileView view;
        os::FaultNote note;
        std::size_t handles = 0; // 0: kept for the next
    };

    static constexpr std::uint64_t key(shm::ObjectTable::Ref array) {
        return std::uint64_t{array.generation} << 32 | array.index;
    }
    static constexpr shm::ObjectTable::Ref array_of(std::uint64_t key) {
        return {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
    }
    FilePlace place_of(shm::ObjectTable::Ref array) const;
    Mapped map(shm::ObjectTable::Ref array, std::size_t bytes) const;
    // Under the lock.
    void forget_gone_locked() noexcept;
    void note_kept() noexcept;

    const shm::Segment* segment_;
    const shm::ObjectTable* objects_;
    mutable std::mutex lock_;
    std::unordered_map<std::uint64_t, Mapped> mapped_;
    std::vector<std::uint64_t> kept_; // keys of those without handles, from the oldest
    std::atomic<bool> keeps_any_{false};
};

// Whether an array of the session lies in this file. Walks the object table.
bool is_mapped_in_session(const shm::Segment& segment, const shm::Heap& heap,
                          const shm::ObjectTable& objects, const FilePlace& file);

} // namespace dshm::runtime
