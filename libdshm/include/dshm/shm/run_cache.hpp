// Which large runs may be had again without making or touching pages: the hints of one process.
//
// Two lists of places. `warm_`: runs that this process freed, most recent last, kept whole and
// tagged WARM(me, length) up to a limit. `made_`: runs that it allocated lately and may have handed
// over; when another process frees one, it is tagged WARM there, and this list finds it again: so a
// master that allocates and workers that free recycle the same pages, although they share no list.
// Both are private and may be wrong; the CAS on the run's tag decides (chunk_table.hpp, T4).
//
// If the process dies, the launcher dissolves what is tagged WARM with its name. Not for several
// threads at once.
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "dshm/shm/chunk_table.hpp"

namespace dshm::shm {

class RunCache {
public:
    // Bytes that one process keeps warm at most. A recycled MiB costs nothing, a fresh one 0.7 ms.
    static constexpr std::size_t warm_limit = base::mebibytes(64);

    explicit RunCache(ChunkTable& table) : table_(table) {}

    // A committed run of at least `length` chunks and at most an eighth more, tagged `tag`.
    std::optional<Run> take(std::uint64_t length, Tag tag);
    // A run that this process has just committed.
    void remember(Run run);
    // A run tagged LEAVING(me): kept warm, or dissolved when it is too large to keep.
    void keep(Run run);
    // Gives all that is kept warm back.
    void trim();

private:
    static constexpr std::size_t warm_slots = 256;
    static constexpr std::size_t made_slots = 64;

    std::optional<Run> take_warm(std::uint64_t length, Tag tag);
    std::optional<Run> take_made(std::uint64_t length, Tag tag);
    bool claim(Run run, Tag tag);
    void forget(Chunk first);
    void drop(std::size_t index);
    void dissolve_oldest();

    ChunkTable& table_;
    std::array<Run, warm_slots> warm_{}; // the oldest first
    std::size_t warm_count_ = 0;
    std::size_t warm_bytes_ = 0; // of the hints, true or not
    std::array<Run, made_slots> made_{};
    std::size_t made_next_ = 0;
};

} // namespace dshm::shm
