// The members of a pool of processes, and who of them is free, in the order in which they became so.
//
//   0       8 … 128   128                              2176
//   | order | unused  | one word for each process slot |
//
//   word    63   62 61          46 45                 0
//           | phase | incarnation |        order       |    FREE
//           | phase | incarnation | ticket:22 | holder |    TAKEN
//           |                    0                     |    ABSENT
//
//   ABSENT → FREE(order) ⇄ TAKEN(ticket, holder)       any → ABSENT with the member's death
//
// What a dead member left in the word before anybody recovered it counts as ABSENT for the next one.
//
// Each arrow is one compare-and-swap on the member's word, so whoever dies at any instruction has
// taken or given back a member, or has not. A taken member's word names its holder: if that one
// dies, the launcher makes the member free again. `order` counts up with every member that becomes
// free; a number drawn by a process that dies is never seen, which leaves a gap and nothing else.
//
// Invariants:
//   (M1) A process is in at most one word, that of its slot, so it is free or taken and never both.
//   (M2) Orders of free members differ, and who became free later has the greater one. A ticket is
//        the order (its low 22 bits) under which the member was taken: a late or second return by a
//        ticket finds another one and changes nothing.
//   (M3) Whether a member lives is asked of the process table when it is about to be taken, by the
//        same look that tells whether one is free.
//
// Zero-filled memory is an empty pool. Any process of the session may call all but `recover`. O(slots)
// for a take, O(1) for the rest.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "dshm/base/bits.hpp"
#include "dshm/shm/identity.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::queue {

enum class MemberPhase : std::uint8_t { absent = 0, free = 1, taken = 2 };

struct MemberState {
    std::uint64_t bits = 0;

    static constexpr MemberState free(shm::Owner member, std::uint64_t order) {
        return of(MemberPhase::free, member, OrderField::put(order));
    }
    static constexpr MemberState taken(shm::Owner member, std::uint32_t ticket, shm::Owner holder) {
        return of(MemberPhase::taken, member,
                  TicketField::put(ticket) | HolderField::put(holder.bits()));
    }
    constexpr MemberPhase phase() const { return static_cast<MemberPhase>(PhaseField::get(bits)); }
    constexpr std::uint16_t incarnation() const {
        return static_cast<std::uint16_t>(IncarnationField::get(bits));
    }
    constexpr bool is(shm::Owner member) const {
        return phase() != MemberPhase::absent && incarnation() == member.incarnation;
    }
    constexpr std::uint64_t order() const { return OrderField::get(bits); }
    constexpr std::uint32_t ticket() const {
        return static_cast<std::uint32_t>(TicketField::get(bits));
    }
    constexpr shm::Owner holder() const { return shm::Owner::from_bits(HolderField::get(bits)); }
    static constexpr std::uint32_t ticket_of(std::uint64_t order) {
        return static_cast<std::uint32_t>(order & TicketField::limit);
    }

private:
    using PhaseField = base::Field<62, 2>;
    using IncarnationField = base::Field<46, 16>;
    using OrderField = base::Field<0, 46>;
    using TicketField = base::Field<24, 22>;
    using HolderField = base::Field<0, 24>;

    static constexpr MemberState of(MemberPhase phase, shm::Owner member, std::uint64_t rest) {
        return {PhaseField::put(static_cast<std::uint64_t>(phase)) |
                IncarnationField::put(member.incarnation) | rest};
    }
};

// A member that was taken, by whom it is given back.
struct TakenMember {
    shm::Owner member;
    std::uint32_t ticket = 0;
};

template <template <class> class Atomic = shm::Word>
class BasicMemberQueue {
public:
    enum class Take { done, none_free, none_alive };

    // Makes it a member, free. False if it is one already, or comes too late: a process that has the
    // same slot since is a member. `alive(owner)` tells who lives.
    template <class Alive>
    bool add(shm::Owner member, Alive&& alive) {
        for (MemberState seen = state(member.slot); !seen.is(member);) {
            const shm::Owner there{member.slot, seen.incarnation()};
            if (seen.phase() != MemberPhase::absent && alive(there))
                return false;
            if (change(member.slot, seen, MemberState::free(member, next_order())))
                return true;
        }
        return false;
    }

    // The live member that has been free for longest.
    template <class Alive>
    Take take(shm::Owner me, Alive&& alive, TakenMember& result) {
        for (;;) {
            const Found found = first_free(alive);
            if (!found.is_free)
                return found.is_alive ? Take::none_free : Take::none_alive;
            result = {found.member, MemberState::ticket_of(found.state.order())};
            MemberState seen = found.state;
            if (change(found.member.slot, seen,
                       MemberState::taken(found.member, result.ticket, me)))
                return Take::done;
        }
    }
    // What take() would find now.
    template <class Alive>
    Take look(Alive&& alive) const {
        const Found found = first_free(alive);
        return found.is_free ? Take::done : found.is_alive ? Take::none_free : Take::none_alive;
    }

    // Free again. False if it is no member, was free, or (by ticket) was taken by somebody else
    // since.
    bool give_back(const TakenMember& taken) {
        return free_if(taken.member, [&](MemberState s) { return s.ticket() == taken.ticket; });
    }
    bool give_back(shm::Owner member) {
        return free_if(member, [](MemberState) { return true; });
    }
    // From now on `holder` is the one whose death makes it free.
    bool hand_over(const TakenMember& taken, shm::Owner from, shm::Owner holder) {
        MemberState seen = MemberState::taken(taken.member, taken.ticket, from);
        return change(taken.member.slot, seen,
                      MemberState::taken(taken.member, taken.ticket, holder));
    }

    // Launcher only, after the death of `dead` and before its slot is used again. True if somebody
    // has become free. May be stopped anywhere and started again.
    bool recover(shm::Owner dead) {
        bool freed = false;
        for (unsigned slot = 0; slot < shm::max_processes; ++slot) {
            const shm::Owner member{static_cast<std::uint8_t>(slot), state(slot).incarnation()};
            if (member != dead)
                freed |= free_if(member, [&](MemberState s) { return s.holder() == dead; });
        }
        for (MemberState seen = state(dead.slot); seen.is(dead);)
            if (change(dead.slot, seen, MemberState{}))
                break;
        return freed;
    }

    MemberState state(unsigned slot) const {
        // seq_cst, edges `worker-free` and `pool-park`: what the one that gave it back did comes
        // before; and after a waiter's bit, this look comes later.
        return {words_[slot].load(std::memory_order_seq_cst)};
    }
    // f(owner) for the members, dead ones that nobody has recovered yet among them.
    template <class F>
    void for_each(F&& f) const {
        for (unsigned slot = 0; slot < shm::max_processes; ++slot)
            if (const MemberState seen = state(slot); seen.phase() != MemberPhase::absent)
                f(shm::Owner{static_cast<std::uint8_t>(slot), seen.incarnation()});
    }

private:
    struct Found {
        bool is_free = false, is_alive = false;
        shm::Owner member;
        MemberState state;
    };

    // Asks whether one lives only if it would be better than the best so far.
    template <class Alive>
    Found first_free(Alive&& alive) const {
        Found best;
        for_each([&](shm::Owner member) {
            const MemberState seen = state(member.slot);
            const bool free = seen.is(member) && seen.phase() == MemberPhase::free;
            const bool better = free && (!best.is_free || seen.order() < best.state.order());
            if ((better || !best.is_alive) && alive(member)) {
                best.is_alive = true;
                if (better)
                    best = {true, true, member, seen};
            }
        });
        return best;
    }

    template <class Condition>
    bool free_if(shm::Owner member, Condition&& condition) {
        for (MemberState seen = state(member.slot);
             seen.is(member) && seen.phase() == MemberPhase::taken && condition(seen);)
            if (change(member.slot, seen, MemberState::free(member, next_order())))
                return true;
        return false;
    }
    bool change(unsigned slot, MemberState& expected, MemberState desired) {
        // seq_cst, edges `worker-free` (release and acquire) and `pool-park` (before the look at
        // who waits).
        return words_[slot].compare_exchange(expected.bits, desired.bits, std::memory_order_seq_cst,
                                             std::memory_order_seq_cst);
    }
    std::uint64_t next_order() {
        // relaxed: only the order of the numbers matters, and a word has one.
        return order_.fetch_add(1, std::memory_order_relaxed);
    }

    Atomic<std::uint64_t> order_;
    std::uint64_t unused_[15];
    std::array<Atomic<std::uint64_t>, shm::max_processes> words_;
};

using MemberQueue = BasicMemberQueue<>;
static_assert(sizeof(MemberQueue) == 128 + 8 * shm::max_processes, "the diagram above");
static_assert(std::is_trivially_destructible_v<MemberQueue>, "it lies in the segment");

} // namespace dshm::queue
