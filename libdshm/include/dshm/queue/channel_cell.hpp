// The shape of a channel's ring, the state word of its cells, and a cursor that walks over them.
//
//   63                    27 26   24 23          0
//   | lap                   | phase | owner      |      followed by the payload
//
// Position p lies in cell p % n in lap p / n. Within one lap a cell goes
//
//   empty ─► writing(owner) ─► full ─► reading(owner) ─► empty of the next lap
//                 │              │        ▼      ▲             ▲
//                 └─► voided ◄───┘      returned ┘             │
//                        └─────────────────────────────────────┘
//
// or empty ─► sealed, which is its last state. `empty`, `writing` and `full` of a lap are never
// entered twice: a message that is given back becomes `returned` and not `full`. So a
// compare-and-swap that expects one of those words succeeds only if the cell has not moved since.
//
// The lap has 37 bits and wraps. A position that is wrong by 2^37 laps is as good as the right one,
// since nothing but its lap bits ever meets shared memory.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "dshm/base/bits.hpp"
#include "dshm/shm/identity.hpp"

namespace dshm::queue {

enum class PutOutcome : std::uint8_t {
    done,
    full,
    ended, // `end` says what comes instead
};

enum class TakeOutcome : std::uint8_t {
    done,
    empty,
    drained,  // ended, and every message taken, though a consumer may still give one back
    finished, // ended and empty for ever: the memory is nobody's any more
};

struct ChannelShape {
    std::uint64_t capacity = 1;
    std::size_t payload_bytes = 8;
    // Without: everybody goes by compare-and-swap from the start, as where the kernel has no membarrier.
    bool roles = true;

    // At least 16 bytes, and no cell over more lines than it must be.
    constexpr std::size_t stride() const {
        const std::size_t needed = payload_bytes + sizeof(std::uint64_t);
        return needed <= 64 ? std::max<std::size_t>(16, std::bit_ceil(needed))
                            : base::round_up(needed, 64);
    }
};

enum class CellPhase : std::uint8_t {
    empty,    // may be claimed by a producer
    writing,  // a producer fills it
    full,     // holds a message
    reading,  // a consumer empties it
    returned, // holds a message that a consumer had claimed and gave back, or died with
    voided,   // its producer died or withdrew: to be passed over
    sealed,   // the end: nothing is put here or behind
};

struct CellWord {
    using OwnerBits = base::Field<0, 24>;
    using PhaseBits = base::Field<24, 3>;
    using Lap = base::Field<27, 37>;

    static constexpr std::uint64_t make(std::uint64_t lap_in_place, CellPhase phase,
                                        std::uint64_t owner = 0) {
        return lap_in_place | PhaseBits::put(static_cast<std::uint64_t>(phase)) | owner;
    }
    static constexpr std::uint64_t lap_in_place(std::uint64_t lap) { return Lap::put(lap); }
    static constexpr std::uint64_t one_lap = Lap::put(1);

    static constexpr CellPhase phase(std::uint64_t word) {
        return static_cast<CellPhase>(PhaseBits::get(word));
    }
    static constexpr shm::Owner owner(std::uint64_t word) {
        return shm::Owner::from_bits(OwnerBits::get(word));
    }
    // How many laps the word is ahead; negative: behind.
    static constexpr std::int64_t laps_ahead(std::uint64_t word, std::uint64_t lap_in_place) {
        return static_cast<std::int64_t>((word & Lap::mask) - lap_in_place) >> 27;
    }
    static constexpr bool holds_message(std::uint64_t word) {
        return phase(word) == CellPhase::full || phase(word) == CellPhase::returned;
    }
};

// Where the cells of a ring lie in this process.
struct CellArray {
    std::byte* first = nullptr;
    std::byte* end = nullptr;
    std::uint64_t count = 0;
    std::size_t stride = 0;

    CellArray(std::byte* where, std::uint64_t how_many, std::size_t distance)
        : first(where), end(where + how_many * distance), count(how_many), stride(distance) {}
    std::byte* at(std::uint64_t position) const { return first + position % count * stride; }
};

// A position with its lap and cell, moved on without a division.
template <template <class> class Atomic>
struct CellCursor {
    std::uint64_t position = 0;
    std::uint64_t lap = 0; // in its place in the word
    std::byte* cell = nullptr;

    CellCursor() = default;
    CellCursor(const CellArray& cells, std::uint64_t where)
        : position(where), lap(CellWord::lap_in_place(where / cells.count)), cell(cells.at(where)) {
    }

    void advance(const CellArray& cells) {
        ++position;
        cell += cells.stride;
        if (cell == cells.end) {
            cell = cells.first;
            lap += CellWord::one_lap;
        }
    }
    Atomic<std::uint64_t>& state() const { return *reinterpret_cast<Atomic<std::uint64_t>*>(cell); }
    std::byte* payload() const { return cell + sizeof(std::uint64_t); }

    std::uint64_t word(CellPhase phase, std::uint64_t owner = 0) const {
        return CellWord::make(lap, phase, owner);
    }
    std::uint64_t next_empty() const {
        return CellWord::make(lap + CellWord::one_lap, CellPhase::empty);
    }
};

static_assert(CellWord::make(0, CellPhase::empty) == 0, "zero-filled cells are empty of lap 0");
static_assert(CellWord::laps_ahead(CellWord::one_lap, CellWord::lap_in_place(~0ull)) == 2,
              "laps are compared across the wrap");

} // namespace dshm::queue
