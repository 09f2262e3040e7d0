// Who owns an item of the segment: a slot of the process table and the incarnation that lives in
// it.
//
// Slots are used again after a death, incarnations are not (16 bits; a word written by a process
// that has been dead for 65,535 successors in its slot would be mistaken, which recovery excludes
// by sweeping at each death).
#pragma once

#include <array>
#include <cstdint>

#include "dshm/base/bits.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::shm {

inline constexpr unsigned max_processes = 256;
inline constexpr unsigned master_slot = 0;
inline constexpr unsigned launcher_slot = 1;
inline constexpr unsigned first_worker_slot = 2;
inline constexpr unsigned max_workers = max_processes - first_worker_slot;

struct Owner {
    std::uint8_t slot = 0;
    std::uint16_t incarnation = 0; // never 0 for a process that lives or has lived

    // 24 bits: slot in the low 8, incarnation above.
    constexpr std::uint32_t bits() const {
        return std::uint32_t{slot} | std::uint32_t{incarnation} << 8;
    }
    static constexpr Owner from_bits(std::uint64_t bits) {
        return {static_cast<std::uint8_t>(bits & 0xff), static_cast<std::uint16_t>(bits >> 8)};
    }
    friend constexpr bool operator==(const Owner&, const Owner&) = default;
};

// A set of process slots in the segment, one bit each. A death clears exactly its own bit, which is
// why holders and waiters are sets and never counts.
//
//   0        8        16       24       32
//   | 0..63  | 64..127|128..191|192..255|
template <template <class> class Atomic = Word>
struct BasicProcessMask {
    std::array<Atomic<std::uint64_t>, max_processes / 64> words;

    static constexpr std::uint64_t bit(unsigned slot) { return std::uint64_t{1} << (slot % 64); }

    Atomic<std::uint64_t>& word_of(unsigned slot) { return words[slot / 64]; }
    const Atomic<std::uint64_t>& word_of(unsigned slot) const { return words[slot / 64]; }

    void set(unsigned slot, std::memory_order order) { word_of(slot).fetch_or(bit(slot), order); }
    void clear(unsigned slot, std::memory_order order) {
        word_of(slot).fetch_and(~bit(slot), order);
    }
    bool test(unsigned slot, std::memory_order order) const {
        return (word_of(slot).load(order) & bit(slot)) != 0;
    }
    // Not a snapshot: words are read one after the other, the first `count` of them.
    bool empty(std::memory_order order, unsigned count = max_processes / 64) const {
        for (unsigned w = 0; w < count; ++w)
            if (words[w].load(order) != 0)
                return false;
        return true;
    }
    // Bits set in the first `words_used` words.
    unsigned count(std::memory_order order, unsigned words_used = max_processes / 64) const {
        unsigned bits = 0;
        for (unsigned w = 0; w < words_used; ++w)
            bits += static_cast<unsigned>(std::popcount(words[w].load(order)));
        return bits;
    }
    // Calls f(slot) for every bit found set.
    template <class F>
    void for_each(std::memory_order order, F&& f) const {
        for (unsigned w = 0; w < words.size(); ++w)
            for (std::uint64_t bits = words[w].load(order); bits != 0; bits &= bits - 1)
                f(w * 64 + static_cast<unsigned>(std::countr_zero(bits)));
    }
};

using ProcessMask = BasicProcessMask<>;
static_assert(sizeof(ProcessMask) == 32, "four words, one bit for each process");

} // namespace dshm::shm
