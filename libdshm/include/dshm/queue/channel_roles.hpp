// Who may go without compare-and-swap at one side of a channel's ring.
//
// While one thread alone puts (or takes), it *holds a role*: it writes cells by plain stores. A second one
// that comes retires the role and gets the next; when all have been retired, the side is shared for ever
// and everybody goes by compare-and-swap. A role that is released, or whose holder dies, is granted anew.
//
//   role   | word                                | flight        | verdict         |
//          | port 32 | owner 24 | – 6 | mode 2   | position + 1  | position + 1, ~0: none |
//
//   free ◄──► held ──► retiring ──► retired            (the last for ever)
//
// Plain step of the holder at position p, whose cell it has *seen in the phase that it wants* (`empty` to
// put, `full` to take):   ① flight = p + 1   ② light fence   ③ word still mine?   ④ plain stores into cell p
//
// Retiring, by anybody, by several at once, finished by others if one dies or stops:
//   ① word: held → retiring   ② heavy fence   ③ verdict: 0 → flight, or none   ④ mark: the cell of the
//   verdict goes by compare-and-swap from the phase above to writing or reading *of the holder*
//   ⑤ word: retiring → retired
//
// Why nobody else touches a cell that the holder may still write (edge `membarrier`): after ② of the
// retirer, every holder that has passed its own ③ has a flight that the retirer sees. So a holder past ③
// at p is either named by the verdict, and its cell belongs to it like any claimed cell from ④ on; or it
// had done with p. If the cell has already left the phase, ④ fails and the holder has done with p too:
// no cell enters that phase twice in a lap. So flight needs no reset.
//
// Why no cell is marked for a holder that is elsewhere: a holder that finds the word changed at its ③
// settles the verdict itself, 0 → none. If that fails and the verdict names p, the cell is its own (it
// repeats ④) and it goes on there. Marks by late retirers repeat ④ and change nothing, since ⑤ comes after
// a ④.
//
// A stopped holder blocks nobody: its cell is like that of a stopped producer (or consumer) between claim
// and commit.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dshm/base/bits.hpp"
#include "dshm/os/process_fence.hpp"
#include "dshm/queue/channel_cell.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::queue {

// How a thread may go on with a cell.
enum class Access : std::uint8_t {
    sole,   // by its role: plain stores
    marked, // the role is lost, and the cell has been claimed for this thread
    shared, // by compare-and-swap
    anew,   // something has changed: look at the cell again
};

struct RoleWord {
    enum Mode : std::uint64_t { free, held, retiring, retired };
    using ModeBits = base::Field<0, 2>;
    using OwnerBits = base::Field<8, 24>;
    using PortBits = base::Field<32, 32>;

    static constexpr std::uint64_t make(shm::Owner owner, std::uint32_t port) {
        return ModeBits::put(held) | OwnerBits::put(owner.bits()) | PortBits::put(port);
    }
    static constexpr Mode mode(std::uint64_t word) { return Mode(ModeBits::get(word)); }
    static constexpr std::uint64_t with(std::uint64_t word, Mode mode) {
        return (word & ~ModeBits::mask) | ModeBits::put(mode);
    }
    static constexpr std::uint64_t owner_bits(std::uint64_t word) { return OwnerBits::get(word); }
};

// Step ④: claims the cell of a position for a holder that may be at work in it.
template <template <class> class Atomic>
struct CellMarker {
    CellArray cells;
    CellPhase from, to;

    void operator()(std::uint64_t position, std::uint64_t owner) const {
        const CellCursor<Atomic> cursor(cells, position);
        std::uint64_t expected = cursor.word(from);
        cursor.state().compare_exchange(expected, cursor.word(to, owner), std::memory_order_acq_rel,
                                        std::memory_order_relaxed); // relaxed: nothing to read
    }
};

template <template <class> class Atomic, class Fence = os::ProcessFence>
class ChannelRoles {
    struct Role {
        Atomic<std::uint64_t> word;
        Atomic<std::uint64_t> flight;
        Atomic<std::uint64_t> verdict;
    };

public:
    // A retirement costs two or three microseconds; a side with so many different users goes on
    // without roles.
    static constexpr unsigned grants = 4;
    using Marker = CellMarker<Atomic>;

    // What a thread knows of its role: private memory.
    struct Holder {
        Role* role = nullptr;
        std::uint64_t word = 0;
        bool shared = false;
    };

    // Steps ① to ③ for a holder; `Access::sole` is permission for ④.
    bool enter_alone(const Holder& holder, std::uint64_t position) {
        // relaxed: the two fences of the edge `membarrier` order it.
        holder.role->flight.store(position + 1, std::memory_order_relaxed);
        Fence::light_fence();
        return holder.role->word.load(std::memory_order_acquire) == holder.word;
    }

    // For a cell that was seen in its phase. Gets a role first where one is to be had.
    Access enter(Holder& holder, std::uint64_t position, const Marker& mark) {
        if (holder.shared)
            return Access::shared;
        if (holder.role == nullptr) {
            grant(holder, mark);
            return Access::anew;
        }
        if (enter_alone(holder, position))
            return Access::sole;
        return leave(holder, position, mark);
    }

    // Of a holder that found the word changed before it did anything to the cell.
    Access leave(Holder& holder, std::uint64_t position, const Marker& mark) {
        std::uint64_t verdict = 0;
        holder.role->verdict.compare_exchange(verdict, none, std::memory_order_acq_rel,
                                              std::memory_order_acquire);
        holder.role = nullptr;
        if (verdict != position + 1)
            return Access::anew;
        mark(position, RoleWord::owner_bits(holder.word));
        return Access::marked;
    }

    // By a holder that is not at work. Does nothing if it has no role.
    void release(Holder& holder) {
        if (holder.role == nullptr)
            return;
        std::uint64_t expected = holder.word;
        holder.role->word.compare_exchange(expected, 0, std::memory_order_acq_rel,
                                           std::memory_order_relaxed); // relaxed: retired instead
        holder.role = nullptr;
    }

    // Afterwards nobody works alone at this side, for ever.
    void retire_all(const Marker& mark) {
        for (Role& role : roles_)
            retire(role, mark);
    }
    bool all_retired() const {
        return RoleWord::mode(roles_[grants - 1].word.load(std::memory_order_acquire)) ==
               RoleWord::retired;
    }

    // Idempotent. The caller sweeps the cells *afterwards*: this may mark one for the dead.
    void recover(shm::Owner dead, const Marker& mark) {
        for (Role& role : roles_) {
            std::uint64_t word = role.word.load(std::memory_order_acquire);
            if (RoleWord::owner_bits(word) != dead.bits())
                continue;
            if (RoleWord::mode(word) == RoleWord::held) {
                // The cell that it was at is as it was, and the next holder must not inherit the flight.
                role.flight.store(0, std::memory_order_release);
                if (role.word.compare_exchange(word, 0, std::memory_order_acq_rel,
                                               std::memory_order_acquire))
                    continue;
            }
            if (RoleWord::mode(word) == RoleWord::retiring)
                retire(role, mark);
        }
    }

    // The first position that is not done with, or an earlier one.
    std::uint64_t hint() const { return hint_.load(std::memory_order_acquire); }
    void set_hint(std::uint64_t position) {
        // release: whoever starts here finds the cells before it as they were left.
        hint_.store(position, std::memory_order_release);
    }

private:
    static constexpr std::uint64_t none = ~std::uint64_t{0};

    // Gets the first role that is free, and retires those that others hold on the way to it.
    void grant(Holder& holder, const Marker& mark) {
        for (Role& role : roles_) {
            std::uint64_t word = role.word.load(std::memory_order_acquire);
            if (RoleWord::mode(word) == RoleWord::free &&
                role.word.compare_exchange(word, holder.word, std::memory_order_acq_rel,
                                           std::memory_order_acquire)) {
                holder.role = &role;
                return;
            }
            retire(role, mark);
        }
        holder.shared = true;
    }

    void retire(Role& role, const Marker& mark) {
        std::uint64_t word = role.word.load(std::memory_order_acquire);
        while (RoleWord::mode(word) != RoleWord::retired) {
            if (RoleWord::mode(word) == RoleWord::retiring)
                settle(role, RoleWord::owner_bits(word), mark);
            const std::uint64_t next =
                RoleWord::with(word, RoleWord::mode(word) == RoleWord::held ? RoleWord::retiring
                                                                            : RoleWord::retired);
            if (role.word.compare_exchange(word, next, std::memory_order_seq_cst,
                                           std::memory_order_acquire))
                word = next;
        }
    }

    // Steps ② to ④ of a retirer.
    void settle(Role& role, std::uint64_t owner, const Marker& mark) {
        std::uint64_t verdict = role.verdict.load(std::memory_order_acquire);
        if (verdict == 0) {
            Fence::heavy_fence(); // edge `membarrier`
            const std::uint64_t flight = role.flight.load(std::memory_order_acquire);
            const std::uint64_t wanted = flight != 0 ? flight : none;
            if (role.verdict.compare_exchange(verdict, wanted, std::memory_order_acq_rel,
                                              std::memory_order_acquire))
                verdict = wanted;
        }
        if (verdict != none)
            mark(verdict - 1, owner);
    }

    Role roles_[grants];
    Atomic<std::uint64_t> hint_;
};

} // namespace dshm::queue
