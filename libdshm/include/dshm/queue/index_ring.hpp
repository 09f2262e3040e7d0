// A bounded ring of task indices: many producers, many consumers, no intermediate state.
//
// Cells are 64-bit words, written by one compare-and-swap that carries the lap, so a cell is either
// of this lap or of an earlier one and nothing in between. Positions count up for ever; position p
// lies in cell p % Cells in lap p / Cells + 1.
//
//   cell   63      40 39        16 15     0
//          |  lap    | generation | index  |
//
// Put: at p = tail, with p - head < Cells, swap the cell from its earlier lap to {lap(p), entry}.
// Take: read the entry at head; *settle it* (claim the task, find it stale, or copy the entry into
// another ring); then move head on by compare-and-swap. The order of the last two is the whole
// crash safety: a taker that dies between leaves an entry that the next one finds stale; the other
// order would lose the task.
//
// Invariant I: head ≤ p for every p whose cell is not yet of lap(p), and nothing before head is
// still needed.
//     put      keeps it: it fills a cell at or behind head, and overwrites only what lies before
//              head.
//     settling changes neither.
//     advance  keeps it: it passes only cells that were read in their lap, and settled.
//
// `tail` is a hint in the full sense: it is stored now and then, not swapped, may jump back when a
// slow producer stores late, and costs the next producer a walk over filled cells. A producer
// remembers privately where it left off, and how far head had come: an old head only makes the ring
// look fuller than it is. Whoever dies at any step of put has either filled the cell or not.
//
// Differs from the per-cell emptying of the design paper: one swap less for each entry, and a batch
// is taken by a single swap of head (docs/adr/0002).
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dshm/base/bits.hpp"
#include "dshm/shm/identity.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::queue {

struct Entry {
    std::uint16_t index = 0;
    std::uint32_t generation = 0; // low 24 bits of the task's generation
    friend constexpr bool operator==(const Entry&, const Entry&) = default;
};

inline constexpr std::uint32_t entry_generation_mask = 0xff'ffff;

enum class PutResult { done, full };

template <std::size_t Cells, template <class> class Atomic = shm::Word>
class IndexRing {
    static_assert((Cells & (Cells - 1)) == 0, "positions are reduced by a mask");
    using Index = base::Field<0, 16>;
    using Generation = base::Field<16, 24>;
    using Lap = base::Field<40, 24>;

public:
    struct Front {
        std::uint64_t position;
        Entry entry;
    };

    static constexpr std::size_t capacity() { return Cells; }

    // Where a producer left off: with it a put touches one shared line, that of the cell. Private
    // to a process; threads may race on it, since any value is right, and a bad one only costs a
    // walk.
    struct ProducerHint {
        std::atomic<std::uint64_t> position{0};
        std::atomic<std::uint64_t> head{0};
    };

    PutResult put(Entry entry, ProducerHint& hint) {
        // relaxed, here and below: hints; the cells decide.
        std::uint64_t position = hint.position.load(std::memory_order_relaxed);
        std::uint64_t head = hint.head.load(std::memory_order_relaxed);
        for (unsigned steps = 1;; ++steps) {
            if (position - head >= Cells) {
                // acquire, edge `ring-room`: pairs with advance; the entry that we overwrite has
                // been settled.
                head = head_.load(std::memory_order_acquire);
                hint.head.store(head, std::memory_order_relaxed);
                position = std::max(position, head);
                if (position - head >= Cells) {
                    tail_.store(position, std::memory_order_relaxed);
                    return PutResult::full;
                }
            }
            if (try_fill(position, entry))
                break;
            ++position;
            if (steps % longest_walk == 0) {
                // Nobody meets so many that were filled since; only where somebody has written over the
                // ring, the cursors lead round for ever.
                if (steps == longest_search)
                    return PutResult::full;
                position = std::max({position, tail_.load(std::memory_order_relaxed),
                                     head_.load(std::memory_order_relaxed)});
            }
        }
        hint.position.store(position + 1, std::memory_order_relaxed);
        if (position % tail_grain == tail_grain - 1)
            tail_.store(position + 1, std::memory_order_relaxed);
        return PutResult::done;
    }
    // By a process that seldom puts here.
    PutResult put(Entry entry) {
        ProducerHint hint;
        hint.head.store(head_.load(std::memory_order_acquire), std::memory_order_relaxed);
        hint.position.store(std::max(tail_.load(std::memory_order_relaxed),
                                     hint.head.load(std::memory_order_relaxed)),
                            std::memory_order_relaxed);
        return put(entry, hint);
    }

    // The entry at head, or nothing when the ring is empty. Does not take it.
    std::optional<Front> peek() const {
        for (;;) {
            const std::uint64_t position = head_.load(std::memory_order_acquire);
            // seq_cst, edge `ring-entry`: pairs with try_fill, and takes part in the order of
            // `park` (doorbell.hpp), so that a parking process and a producer cannot both miss each
            // other.
            const std::uint64_t cell = cell_at(position).load(std::memory_order_seq_cst);
            if (Lap::get(cell) == lap_of(position))
                return Front{position, unpack(cell)};
            if (head_.load(std::memory_order_acquire) == position)
                return std::nullopt;
        }
    }

    // The entry `distance` places behind a position that peek gave, if it is there.
    std::optional<Entry> peek_behind(std::uint64_t position, std::size_t distance) const {
        const std::uint64_t cell =
            cell_at(position + distance).load(std::memory_order_acquire); // edge `ring-entry`
        if (Lap::get(cell) != lap_of(position + distance))
            return std::nullopt;
        return unpack(cell);
    }

    // Moves head from `position` over `count` settled entries. False when another consumer was
    // faster; what was settled stays settled.
    bool advance(std::uint64_t position, std::size_t count = 1) {
        std::uint64_t expected = position;
        // seq_cst, edge `ring-room`: settling happens before the cell is overwritten, and the swap
        // before the look at who waits for room.
        return head_.compare_exchange(expected, position + count, std::memory_order_seq_cst,
                                      std::memory_order_relaxed);
    }

    static bool passes_half(std::uint64_t position, std::size_t count) {
        return ((position ^ (position + count)) & (Cells / 2)) != 0;
    }

    // Exact at the moment of asking: there are no holes, so the ring is full when the last cell
    // before head's own is filled.
    bool full() const {
        const std::uint64_t last = head_.load(std::memory_order_seq_cst) + Cells - 1;
        return Lap::get(cell_at(last).load(std::memory_order_seq_cst)) == lap_of(last);
    }

    // How many entries there seem to be. relaxed: both cursors are hints here.
    std::size_t size_hint() const {
        const std::uint64_t tail = tail_.load(std::memory_order_relaxed);
        const std::uint64_t head = head_.load(std::memory_order_relaxed);
        return tail > head ? static_cast<std::size_t>(tail - head) : 0;
    }

    // Processes that wait for room.
    shm::BasicProcessMask<Atomic>& waiting_for_room() { return waiting_; }

private:
    // The shared tail is moved on once for so many entries: nobody else reads it but to estimate
    // and to catch up.
    static constexpr std::uint64_t tail_grain = 16;
    // A producer that has walked over so many filled cells looks where the tail is.
    static constexpr unsigned longest_walk = 2 * tail_grain;
    static constexpr unsigned longest_search = 16 * Cells < 4096 ? 4096 : 16 * Cells;
    static_assert(longest_search % longest_walk == 0, "it is looked at after each walk");

    static constexpr std::uint64_t lap_of(std::uint64_t position) {
        return (position / Cells + 1) & Lap::limit;
    }
    static Entry unpack(std::uint64_t cell) {
        return {static_cast<std::uint16_t>(Index::get(cell)),
                static_cast<std::uint32_t>(Generation::get(cell))};
    }
    static constexpr std::uint64_t pack(std::uint64_t lap, Entry entry) {
        return Lap::put(lap) | Generation::put(entry.generation) | Index::put(entry.index);
    }
    // A cell may be filled at `position` when it is of the lap before; anything else means that
    // tail lags.
    bool try_fill(std::uint64_t position, Entry entry) {
        Atomic<std::uint64_t>& cell = cells_[position % Cells];
        std::uint64_t seen = cell.load(std::memory_order_acquire);
        if (Lap::get(seen) != ((lap_of(position) - 1) & Lap::limit))
            return false;
        // seq_cst, edge `ring-entry`: publishes the entry, and is ordered before the producer's
        // look at doorbells.
        return cell.compare_exchange(seen, pack(lap_of(position), entry), std::memory_order_seq_cst,
                                     std::memory_order_relaxed);
    }
    Atomic<std::uint64_t>& cell_at(std::uint64_t position) { return cells_[position % Cells]; }
    const Atomic<std::uint64_t>& cell_at(std::uint64_t position) const {
        return cells_[position % Cells];
    }

    //   0        128      256            384
    //   | head   | tail   | waiting (32) | cells: 8 bytes each
    alignas(base::cache_line) Atomic<std::uint64_t> head_;
    alignas(base::cache_line) Atomic<std::uint64_t> tail_;
    alignas(base::cache_line) shm::BasicProcessMask<Atomic> waiting_;
    alignas(base::cache_line) Atomic<std::uint64_t> cells_[Cells];
};

} // namespace dshm::queue
