// A thread's place among the consumers of a channel's ring. See channel_port.hpp for who may use it and what a death leaves.
//
// take           one message, copied out: the hot path
// begin_take     claims the first message, to be used in place, then commit_take or undo_take
//
// FIFO for each producer: of two messages that one producer thread put one after the other, the first is claimed first;
// only a message that was given back, by undo_take or by recovery, may come after later ones.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dshm/queue/channel_port.hpp"

namespace dshm::queue {

template <template <class> class Atomic = shm::Word, class Fence = os::ProcessFence>
class ChannelConsumer : ChannelPort<Atomic, Fence> {
    using Port = ChannelPort<Atomic, Fence>;
    using Port::cells_, Port::cursor_, Port::holder_, Port::marker_, Port::me_, Port::ring_,
        Port::roles_, Port::advance, Port::hint;

public:
    using Port::ring;
    using typename Port::Cursor;
    using typename Port::Ring;

    ChannelConsumer(Ring& resident, shm::Owner me)
        : Port(resident, resident.consumers(), me, resident.consumer_marker()) {}

    // The usual case in line: alone, and a message at the cursor.
    template <class T>
    TakeOutcome take(T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        if (holder_.role != nullptr &&
            // acquire, edge `channel-message`.
            cursor_.state().load(std::memory_order_acquire) == cursor_.word(CellPhase::full))
            [[likely]] {
            if (!roles_.enter_alone(holder_, cursor_.position)) [[unlikely]]
                return take_after_loss(value);
            deliver(&value, sizeof value);
            return TakeOutcome::done;
        }
        return take_otherwise(value);
    }
    TakeOutcome take(void* bytes, std::size_t count) {
        if (claim_in_front()) {
            deliver(bytes, count);
            return TakeOutcome::done;
        }
        Cursor claimed;
        const TakeOutcome outcome = find_and_claim(claimed);
        if (outcome == TakeOutcome::done) {
            std::memcpy(bytes, claimed.payload(), count);
            commit_take(claimed);
        }
        return outcome;
    }

    // In two steps, for a payload that is used in place.
    TakeOutcome begin_take(Cursor& claimed) {
        if (!claim_in_front())
            return find_and_claim(claimed);
        claimed = cursor_;
        return TakeOutcome::done;
    }
    void commit_take(const Cursor& claimed) {
        empty_cell(claimed);
        if (claimed.position == cursor_.position)
            advance();
        else
            hint();
    }
    // The message is there again, for whoever comes first.
    void undo_take(const Cursor& claimed) {
        claimed.state().store(claimed.word(CellPhase::returned), std::memory_order_release);
    }

private:
    // The role is lost, and the cell at the cursor may have been claimed for this thread.
    template <class T>
    [[gnu::noinline]] TakeOutcome take_after_loss(T& value) {
        if (roles_.leave(holder_, cursor_.position, marker_) != Access::marked)
            return take_otherwise(value);
        deliver(&value, sizeof value);
        return TakeOutcome::done;
    }
    // Not in line, so that the usual case saves no registers.
    template <class T>
    [[gnu::noinline]] TakeOutcome take_otherwise(T& value) {
        return take(&value, sizeof value);
    }

    // Without a walk: a message at the cursor, or behind cells that others have emptied.
    bool claim_in_front() {
        for (;;) {
            // acquire, edge `channel-message`.
            std::uint64_t word = cursor_.state().load(std::memory_order_acquire);
            if (word == cursor_.word(CellPhase::full)) {
                if (claim(cursor_, word))
                    return true;
                continue;
            }
            if (CellWord::laps_ahead(word, cursor_.lap) <= 0)
                return false;
            ring_.catch_up(cursor_, word); // invariant H
        }
    }

    void deliver(void* bytes, std::size_t count) {
        std::memcpy(bytes, cursor_.payload(), count);
        empty_cell(cursor_);
        advance();
    }

    [[gnu::noinline]] TakeOutcome find_and_claim(Cursor& claimed) {
        for (;;) {
            const Look look = look_twice();
            switch (look.end) {
            case Ring::WalkEnd::stopped:
                if (claim(look.at, look.word)) {
                    claimed = look.at;
                    return TakeOutcome::done;
                }
                break;
            case Ring::WalkEnd::wrapped:
                return TakeOutcome::empty;
            case Ring::WalkEnd::empty:
                if (ring_.end() == 0)
                    return TakeOutcome::empty;
                seal(look.at);
                break;
            case Ring::WalkEnd::sealed:
                if (look.passed_writing)
                    return TakeOutcome::empty;
                return look.at.position == cursor_.position ? TakeOutcome::finished
                                                            : TakeOutcome::drained;
            }
        }
    }
    struct Look {
        typename Ring::WalkEnd end;
        Cursor at;
        std::uint64_t word = 0;
        bool passed_writing = false;
    };

    void empty_cell(const Cursor& cursor) {
        // release, edge `channel-room`.
        cursor.state().store(cursor.next_empty(), std::memory_order_release);
    }

    // Cells that are being written are passed over, so a stopped producer does not hold up the others. But a
    // producer might finish one and fill a later one while we walk between the two: so a message behind
    // such a cell is taken only if a second walk finds the same one first. Then all that were passed were
    // unfinished *after* it was full, hence are of other producers.
    Look look_twice() {
        Look look = look_once();
        while (look.end == Ring::WalkEnd::stopped && look.passed_writing) {
            const Look second = look_once();
            if (second.end == look.end && second.at.position == look.at.position)
                return second;
            look = second;
        }
        return look;
    }
    Look look_once() {
        Look look;
        look.end = ring_.walk(cursor_, look.at, [&](const Cursor& at, std::uint64_t word) {
            look.word = word;
            look.passed_writing |= CellWord::phase(word) == CellPhase::writing;
            if (CellWord::phase(word) == CellPhase::voided)
                empty_voided(at, word);
            return CellWord::holds_message(word);
        });
        return look;
    }
    void empty_voided(const Cursor& at, std::uint64_t word) {
        at.state().compare_exchange(word, at.next_empty(), std::memory_order_acq_rel,
                                    std::memory_order_relaxed); // relaxed: emptied by another
    }
    void seal(const Cursor& at) {
        std::uint64_t expected = at.word(CellPhase::empty);
        // seq_cst, edge `channel-end`: either a late producer's claim comes before, or it finds the seal.
        at.state().compare_exchange(expected, at.word(CellPhase::sealed), std::memory_order_seq_cst,
                                    std::memory_order_relaxed);
    }

    // A cell that was seen with a message in it.
    bool claim(const Cursor& cursor, std::uint64_t seen) {
        const std::uint64_t reading = cursor.word(CellPhase::reading, me_);
        if (CellWord::phase(seen) == CellPhase::full) {
            switch (roles_.enter(holder_, cursor.position, marker_)) {
            case Access::sole:
                // relaxed: publishes nothing.
                cursor.state().store(reading, std::memory_order_relaxed);
                return true;
            case Access::marked:
                return true;
            case Access::anew:
                return false;
            case Access::shared:
                break;
            }
        }
        // A returned message goes by compare-and-swap whatever the role: nobody takes it otherwise.
        return cursor.state().compare_exchange(seen, reading, std::memory_order_seq_cst,
                                               std::memory_order_relaxed);
    }
};

} // namespace dshm::queue
