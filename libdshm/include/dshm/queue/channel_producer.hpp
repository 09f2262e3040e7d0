// A thread's place among the producers of a channel's ring. See channel_port.hpp for who may use it and what a death leaves.
//
// put            one message, copied in: the hot path
// begin_put      claims a cell whose payload the caller makes in place, then commit_put or abandon_put; the cell is
//                held until then, and consumers pass it over
//
// A message has its place in the order when its cell is claimed.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dshm/queue/channel_port.hpp"

namespace dshm::queue {

template <template <class> class Atomic = shm::Word, class Fence = os::ProcessFence>
class ChannelProducer : ChannelPort<Atomic, Fence> {
    using Port = ChannelPort<Atomic, Fence>;
    using Port::cells_, Port::cursor_, Port::holder_, Port::marker_, Port::me_, Port::ring_,
        Port::roles_, Port::advance, Port::hint;

public:
    using Port::ring;
    using typename Port::Cursor;
    using typename Port::Ring;

    ChannelProducer(Ring& resident, shm::Owner me)
        : Port(resident, resident.producers(), me, resident.producer_marker()) {}

    // The position of the last message, for `withdraw` and `message`.
    std::uint64_t last_position() const { return cursor_.position - 1; }

    // The usual case in line: alone, and room at the cursor.
    template <class T>
    PutOutcome put(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        if (holder_.role != nullptr &&
            // acquire, edge `channel-room`: the consumer has done with the payload.
            cursor_.state().load(std::memory_order_acquire) == cursor_.word(CellPhase::empty))
            [[likely]] {
            if (!roles_.enter_alone(holder_, cursor_.position)) [[unlikely]]
                return put_after_loss(value);
            fill(&value, sizeof value);
            return PutOutcome::done;
        }
        return put_otherwise(value);
    }
    PutOutcome put(const void* bytes, std::size_t count) {
        const PutOutcome outcome = claim();
        if (outcome == PutOutcome::done)
            fill(bytes, count);
        return outcome;
    }

    // In two steps, for a payload that is made in place.
    PutOutcome begin_put(Cursor& claimed) {
        const PutOutcome outcome = claim();
        if (outcome == PutOutcome::done) {
            claimed = cursor_;
            advance();
        }
        return outcome;
    }
    void commit_put(const Cursor& claimed) { publish(claimed); }
    void abandon_put(const Cursor& claimed) {
        claimed.state().store(claimed.word(CellPhase::voided), std::memory_order_release);
    }

private:
    // The role is lost, and the cell at the cursor may have been claimed for this thread.
    template <class T>
    [[gnu::noinline]] PutOutcome put_after_loss(const T& value) {
        if (roles_.leave(holder_, cursor_.position, marker_) != Access::marked)
            return put_otherwise(value);
        fill(&value, sizeof value);
        return PutOutcome::done;
    }
    // Not in line, so that the usual case saves no registers.
    template <class T>
    [[gnu::noinline]] PutOutcome put_otherwise(const T& value) {
        return put(&value, sizeof value);
    }
    void fill(const void* bytes, std::size_t count) {
        std::memcpy(cursor_.payload(), bytes, count);
        publish(cursor_);
        advance();
    }
    void publish(const Cursor& cursor) {
        // release, edge `channel-message`.
        cursor.state().store(cursor.word(CellPhase::full), std::memory_order_release);
    }

    // Makes the first empty cell at or after the cursor this producer's own, and leaves the cursor there.
    PutOutcome claim() {
        for (;;) {
            std::uint64_t word = cursor_.state().load(std::memory_order_acquire);
            if (word == cursor_.word(CellPhase::empty)) {
                if (const auto outcome = try_empty_cell(word); outcome != Attempt::again)
                    return outcome == Attempt::claimed ? PutOutcome::done : PutOutcome::ended;
                continue;
            }
            const std::int64_t ahead = CellWord::laps_ahead(word, cursor_.lap);
            if (ahead == 0 && CellWord::phase(word) == CellPhase::sealed)
                return PutOutcome::ended;
            if (ahead >= 0) {
                pass(word); // invariant T: claimed
                continue;
            }
            if (word != cursor_.word(CellPhase::voided) - CellWord::one_lap)
                return ring_.end() != 0 ? PutOutcome::ended : PutOutcome::full;
            // A voided cell that no consumer has come by to empty.
            cursor_.state().compare_exchange(word, cursor_.word(CellPhase::empty),
                                             std::memory_order_acq_rel, std::memory_order_relaxed);
        }
    }

    enum class Attempt : std::uint8_t { claimed, again, ended };

    Attempt try_empty_cell(std::uint64_t word) {
        const std::uint64_t writing = cursor_.word(CellPhase::writing, me_);
        switch (roles_.enter(holder_, cursor_.position, marker_)) {
        case Access::sole:
            // relaxed: publishes nothing.
            cursor_.state().store(writing, std::memory_order_relaxed);
            return Attempt::claimed;
        case Access::marked:
            return Attempt::claimed;
        case Access::anew:
            return Attempt::again;
        case Access::shared:
            break;
        }
        if (ring_.end() != 0)
            return Attempt::ended;
        return cursor_.state().compare_exchange(word, writing, std::memory_order_seq_cst,
                                                std::memory_order_relaxed)
                   ? Attempt::claimed
                   : Attempt::again;
    }

    void pass(std::uint64_t word) {
        ring_.catch_up(cursor_, word);
        if (cursor_.position % Port::hint_grain != 0)
            return;
        if (const std::uint64_t tail = roles_.hint(); tail > cursor_.position)
            cursor_ = Cursor(cells_, tail);
    }
};

} // namespace dshm::queue
