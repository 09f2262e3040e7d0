// Where everything lies in the segment.
//
//   offset 0                                                              capacity
//   | header | modules | obituaries | processors | backing words | process areas | tasks | objects | chunk table | heap ... |
//     4 KiB    64 KiB    64+128 KiB   32 KiB       8 B / 2 MiB     256 × 128 KiB   16 MiB  2 MiB     16 B / 64 KiB
//
// Every region starts on a 64 KiB chunk of the file, because that is the unit in which pages are
// backed (backing.hpp). The file is sparse: a region costs memory where it was touched, not where
// it is laid out.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "dshm/base/bits.hpp"
#include "dshm/shm/identity.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::shm {

using Offset =
    std::uint64_t; // bytes from the start of the segment; 0 is the header and so means "nothing"

inline constexpr std::size_t chunk_size = base::kibibytes(64);
inline constexpr std::size_t extent_size = base::mebibytes(2);
inline constexpr std::size_t chunks_per_extent = extent_size / chunk_size;

inline constexpr std::size_t max_tasks = 65'536;
inline constexpr std::size_t task_record_size = 256;
inline constexpr std::size_t max_objects = 16'384;
inline constexpr std::size_t object_record_size = 128;
inline constexpr std::size_t process_area_size = base::kibibytes(128);
inline constexpr std::size_t module_region_size = base::kibibytes(64);
inline constexpr std::size_t obituary_region_size = base::kibibytes(64);
inline constexpr std::size_t last_words_region_size = base::kibibytes(128); // behind the obituaries
inline constexpr std::size_t chunk_record_size = 16;
inline constexpr std::size_t processor_lines = 256; // processors beyond share a line with others
inline constexpr std::size_t processor_region_size = processor_lines * base::cache_line;
// Programs that may ask to be let in at the same time.
inline constexpr std::size_t join_places = 16;

inline constexpr std::uint64_t segment_magic =
    0x6d687364'67657331; // "1segdshm" read as a little-endian word
inline constexpr std::uint32_t abi_number = 5;

// Offsets of all regions, computed from the capacity alone. Every process computes them, and a
// stranger compares them.
struct Geometry {
    std::uint64_t capacity;
    Offset modules;
    Offset obituaries;
    Offset processors;
    Offset backing;
    Offset processes;
    Offset tasks;
    Offset objects;
    Offset chunks;
    Offset heap;
    std::uint64_t heap_chunks;

    // The smallest usable capacity is min_capacity; `capacity` is rounded down to whole extents.
    static constexpr Geometry of(std::size_t capacity);
    friend constexpr bool operator==(const Geometry&, const Geometry&) = default;
};

inline constexpr std::size_t min_capacity = base::mebibytes(128);

constexpr Geometry Geometry::of(std::size_t capacity) {
    Geometry g{};
    g.capacity = capacity / extent_size * extent_size;
    Offset next = base::page_size;
    const auto place = [&next](std::size_t bytes, std::size_t alignment) {
        next = base::round_up(next, alignment);
        const Offset start = next;
        next += bytes;
        return start;
    };
    g.modules = place(module_region_size, base::page_size);
    g.obituaries = place(obituary_region_size + last_words_region_size, base::page_size);
    g.processors = place(processor_region_size, base::page_size);
    g.backing = place(g.capacity / extent_size * sizeof(Word64), base::page_size);
    g.processes = place(max_processes * process_area_size, chunk_size);
    g.tasks = place(max_tasks * task_record_size, chunk_size);
    g.objects = place(max_objects * object_record_size, chunk_size);
    g.chunks = place(g.capacity / chunk_size * chunk_record_size, chunk_size);
    g.heap = place(0, extent_size);
    g.heap_chunks = (g.capacity - g.heap) / chunk_size;
    return g;
}

enum class SegmentState : std::uint64_t { making = 0, ready = 1, closed = 2 };

// The first page of the segment. Identity first, then the few words that every process reads often,
// each on its own lines.
//
//   0        8      12     16            24      28      32      40                        48
//   | magic  | abi  | uid  | layout hash | state (published last) | seed   | master pid      |
//   48                 128
//   | name (64 bytes)  | geometry (88 bytes) | build id (20) ...
//   256      next task index never used          384  next object index never used
//   512      heap chunks ever claimed            640  membership epoch, workers coming, stopped by
//   768      parked idle workers                 896  workers woken and looking for work
//   1024     processes whose ready ring may hold work
//   1152     slot + 1 of the worker that may spin long
//   1280     processes that wait for a free task record
//   1408     calls kept for later workers
//   1536     the default pool of workers: index + 1 and generation of its object, or 0
//   1664     where programs ask to be let in, 8 bytes each (launch/join_word.hpp)
//   1792     processes that read tags of chunks that are not theirs (shm/tag_readers.hpp)
//   1920     bytes that got pages since somebody looked what the machine has left (shm/backing.hpp)
struct Header {
    std::uint64_t magic;
    std::uint32_t abi;
    std::uint32_t user;
    std::uint64_t layout_hash;
    Word64 state; // SegmentState
    std::uint64_t seed;
    std::int64_t master_pid;
    std::array<char, 64> name;
    Word64 bar_columns;           // of the progress bar that lies on process 1's terminal, or 0
    std::uint64_t master_address; // of the segment in process 1: others try to map it there too
    Geometry geometry;
    std::array<std::uint8_t, 20> build_id;
    std::uint64_t huge_pages;      // 1: large runs are asked for as huge pages
    std::uint64_t on_worker_death; // runtime/on_worker_death.hpp

    alignas(base::cache_line) Word64 task_top;
    alignas(base::cache_line) Word64 object_top;
    alignas(base::cache_line) Word64 heap_top;
    alignas(base::cache_line) Word64 membership_epoch;
    Word64 workers_coming; // in place of dead ones; 1 for ever after a stop
    Word64 stopped_by;     // the worker whose death has ended the session, or 0
    alignas(base::cache_line) ProcessMask parked;
    alignas(base::cache_line) ProcessMask searching;
    alignas(base::cache_line) ProcessMask ready;
    alignas(base::cache_line) Word64 long_spinner;
    alignas(base::cache_line) ProcessMask table_waiters;
    alignas(base::cache_line) Word64 kept_calls;
    alignas(base::cache_line) Word64 default_pool;
    alignas(base::cache_line) std::array<Word64, join_places> joins;
    alignas(base::cache_line) ProcessMask tag_readers;
    alignas(base::cache_line) Word64 made_since_look;
};

static_assert(sizeof(Header) <= base::page_size, "the header is one page");
static_assert(offsetof(Header, state) == 24,
              "strangers read the state word before they map the segment");
static_assert(offsetof(Header, geometry) == 128, "the layout comment above");
static_assert(offsetof(Header, task_top) == 256 && offsetof(Header, parked) == 768,
              "hot words lie on lines of their own");
static_assert(offsetof(Header, on_worker_death) == 248 && offsetof(Header, workers_coming) == 648,
              "in what the lines before have left");
static_assert(std::is_trivially_copyable_v<Geometry>, "Geometry lies in the segment");

// Differs between builds whose records differ in size: such builds cannot share a segment.
constexpr std::uint64_t layout_hash() {
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (std::uint64_t part :
         {std::uint64_t{sizeof(Header)}, std::uint64_t{max_processes}, std::uint64_t{max_tasks},
          std::uint64_t{task_record_size}, std::uint64_t{max_objects},
          std::uint64_t{object_record_size}, std::uint64_t{process_area_size},
          std::uint64_t{module_region_size}, std::uint64_t{obituary_region_size},
          std::uint64_t{last_words_region_size}, std::uint64_t{chunk_size},
          std::uint64_t{extent_size}, std::uint64_t{chunk_record_size}})
        hash = (hash ^ part) * 0x100000001b3;
    return hash;
}

} // namespace dshm::shm
