// The list of pieces that the makers of an array's pages share (first_touch.hpp).
//
//   0        4        8        16                     40
//   | over   | error  | count  | piece 0: first, size, state, part | piece 1 …
//
// A piece is FREE → TAKEN → DONE; whoever finds one TAKEN for too long makes it as well.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dshm/shm/layout.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::runtime {

enum class PieceState : std::uint32_t { free = 0, taken = 1, done = 2 };

struct Piece {
    shm::Offset first;
    std::uint64_t size;
    shm::Word32 state;
    std::uint32_t part;

    PieceState now() const noexcept {
        // acquire: a page that is said to be there is there.
        return static_cast<PieceState>(state.load(std::memory_order_acquire));
    }
    bool take() noexcept {
        auto expected = static_cast<std::uint32_t>(PieceState::free);
        // relaxed: the claim alone; the piece was written before its list was handed out.
        return state.compare_exchange(expected, static_cast<std::uint32_t>(PieceState::taken),
                                      std::memory_order_relaxed, std::memory_order_relaxed);
    }
    void set(PieceState next) noexcept {
        // release, edge `piece-made`.
        state.store(static_cast<std::uint32_t>(next), std::memory_order_release);
    }
};

struct PieceList {
    shm::Word32 over;  // nothing is to be begun any more
    shm::Word32 error; // what kept a piece from being made
    std::uint64_t count;

    static std::size_t bytes_for(std::size_t pieces) {
        return sizeof(PieceList) + pieces * sizeof(Piece);
    }
    std::span<Piece> pieces() noexcept { return {reinterpret_cast<Piece*>(this + 1), count}; }

    bool stopped() const noexcept {
        // relaxed, both: hints to stop early.
        return over.load(std::memory_order_relaxed) != 0 ||
               error.load(std::memory_order_relaxed) != 0;
    }
    std::size_t done() noexcept {
        const auto all = pieces();
        return static_cast<std::size_t>(std::count_if(
            all.begin(), all.end(), [](const Piece& p) { return p.now() == PieceState::done; }));
    }
};

static_assert(sizeof(PieceList) == 16 && sizeof(Piece) == 24, "the layout comment above");

} // namespace dshm::runtime
