// A channel's ring: a bounded queue of many producers and many consumers that survives a SIGKILL of any of
// them between any two instructions.
//
// Resident: a header and `capacity` cells, each a state word and an inline payload, without pointers.
// Threads work on it through ChannelProducer and ChannelConsumer, in headers of those names. What a cell's
// states mean is in channel_cell.hpp, how a side with one user does without compare-and-swap in
// channel_roles.hpp.
//
// Invariants, p a position:
//   T  every p before a producer's cursor or the tail hint has been claimed: its cell is of lap(p) and not
//      empty, or of a later lap. So messages leave no holes, and the first empty cell is the end.
//   H  every p before a consumer's cursor or the head hint has been emptied: its cell is of a later lap.
//
// A message is in the ring from the store of `full` to the store that empties its cell; both are single
// stores, so it is delivered exactly once, but for a consumer that dies after its store: the message went
// with it. FIFO for each producer; see ChannelConsumer about cells that are passed over.
//
// The end of a ring. `end` is set once: to `closed`, or to a value of the caller that says where a larger
// successor lies. The side of the producers is shared by then, and a producer that meets `end` claims nothing
// any more. One that had looked before may still: so the first consumer that meets an empty cell turns it
// into `sealed` by compare-and-swap. No cell behind it is ever claimed (by T a producer would have to pass
// it), so when all before it are emptied, the ring is finished, and no message was lost.
//
// Death: `recover` turns cells that the dead was writing into voided ones and messages that it was reading
// into returned ones. Nobody waits for it but where the capacity is used up by such cells.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dshm/base/bits.hpp"
#include "dshm/os/process_fence.hpp"
#include "dshm/queue/channel_cell.hpp"
#include "dshm/queue/channel_roles.hpp"
#include "dshm/shm/identity.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::queue {

template <template <class> class Atomic = shm::Word, class Fence = os::ProcessFence>
class ChannelRing {
public:
    using Roles = ChannelRoles<Atomic, Fence>;
    using Cursor = CellCursor<Atomic>;
    using Marker = CellMarker<Atomic>;
    static constexpr std::uint64_t closed = 1;

    static constexpr std::size_t bytes(const ChannelShape& shape) {
        return sizeof(ChannelRing) + shape.capacity * shape.stride();
    }
    // In zero-filled memory of so many bytes, aligned to a pair of lines, that nobody else sees yet.
    static ChannelRing& create(void* zeros, const ChannelShape& shape) {
        auto& ring = *static_cast<ChannelRing*>(zeros);
        ring.capacity_ = shape.capacity;
        ring.stride_ = static_cast<std::uint32_t>(shape.stride());
        ring.payload_bytes_ = static_cast<std::uint32_t>(shape.payload_bytes);
        ring.membarrier_ = Fence::join();
        if (!shape.roles || !ring.membarrier_) {
            ring.producers_.retire_all(ring.producer_marker());
            ring.consumers_.retire_all(ring.consumer_marker());
        }
        return ring;
    }

    std::uint64_t capacity() const { return capacity_; }
    std::size_t payload_bytes() const { return payload_bytes_; }
    std::size_t stride() const { return stride_; }
    // Whether a ring in so many bytes may be worked on, whatever somebody has written into its header,
    // and its payloads have so many bytes. Nothing of its cells is looked at.
    bool fits(std::size_t room, std::size_t least_payload) const {
        return room >= sizeof(ChannelRing) && capacity_ != 0 && stride_ >= 16 && stride_ % 8 == 0 &&
               payload_bytes_ >= least_payload &&
               payload_bytes_ + sizeof(std::uint64_t) <= stride_ &&
               capacity_ <= (room - sizeof(ChannelRing)) / stride_;
    }
    CellArray cells() const {
        // Cells are shared words behind the header, whatever the constness of the view.
        auto* const base = reinterpret_cast<std::byte*>(const_cast<ChannelRing*>(this));
        return {base + sizeof(ChannelRing), capacity_, stride_};
    }

    // Ends the ring; false if it had ended before. A caller that dies half-way has only made the
    // producers' side shared.
    bool end(std::uint64_t value) {
        producers_.retire_all(producer_marker());
        std::uint64_t open = 0;
        // seq_cst, edge `channel-end`: after the last role is retired, and before the caller's look at
        // who waits.
        return end_.compare_exchange(open, value, std::memory_order_seq_cst,
                                     std::memory_order_relaxed); // relaxed: not read
    }
    // 0 while the ring is open. acquire: pairs with `end`, so no role of a producer is left when it is set.
    std::uint64_t end() const { return end_.load(std::memory_order_acquire); }

    // By the producer of the message at `position`: nobody gets it. False when a consumer has it.
    bool withdraw(std::uint64_t position) {
        consumers_.retire_all(consumer_marker()); // a look at a few words when there are none
        const Cursor cursor(cells(), position);
        for (const CellPhase phase : {CellPhase::full, CellPhase::returned}) {
            std::uint64_t expected = cursor.word(phase);
            if (cursor.state().compare_exchange(expected, cursor.word(CellPhase::voided),
                                                std::memory_order_seq_cst,
                                                std::memory_order_acquire))
                return true;
        }
        return false;
    }
    // What has become of the message at a position: full, returned or reading while it is there, writing or voided
    // if it never was, empty when it has been taken.
    CellPhase message(std::uint64_t position) const {
        const Cursor cursor(cells(), position);
        const std::uint64_t word = cursor.state().load(std::memory_order_seq_cst);
        return CellWord::laps_ahead(word, cursor.lap) == 0 ? CellWord::phase(word)
                                                           : CellPhase::empty;
    }

    // How many messages there are; exact when nobody changes anything. Takes time proportional to it.
    std::uint64_t size() const {
        std::uint64_t count = 0;
        Cursor from(cells(), consumers_.hint()), at = from;
        walk(from, at, [&](const Cursor&, std::uint64_t word) {
            count += CellWord::holds_message(word);
            return false;
        });
        return count;
    }
    // Exact likewise, in constant time where nothing is half done.
    bool empty() const { return !front().has_value(); }
    bool full() const {
        for (Cursor cursor(cells(), producers_.hint());;) {
            const std::uint64_t word = cursor.state().load(std::memory_order_seq_cst);
            const std::int64_t ahead = CellWord::laps_ahead(word, cursor.lap);
            if (ahead < 0)
                return CellWord::phase(word) != CellPhase::voided;
            if (ahead == 0 && CellWord::phase(word) == CellPhase::empty)
                return false;
            if (ahead == 0 && CellWord::phase(word) == CellPhase::sealed)
                return true;
            catch_up(cursor, word);
        }
    }

    // The first message, with the word that its cell had.
    struct Front {
        Cursor cursor;
        std::uint64_t word;
    };
    std::optional<Front> front() const {
        Cursor from(cells(), consumers_.hint()), at = from;
        std::uint64_t word = 0;
        const auto is_message = [&](const Cursor&, std::uint64_t seen) {
            word = seen;
            return CellWord::holds_message(seen);
        };
        if (walk(from, at, is_message) != WalkEnd::stopped)
            return std::nullopt;
        return Front{at, word};
    }
    // A copy of the first message, which stays. The copy is kept only if the cell has not moved meanwhile.
    template <class T>
    std::optional<T> peek() const {
        while (const auto first = front()) {
            T value;
            copy_unlocked(&value, first->cursor.payload(), sizeof value);
            std::atomic_thread_fence(std::memory_order_acquire); // the copy, then the second look
            // relaxed: ordered by the fence.
            if (first->cursor.state().load(std::memory_order_relaxed) == first->word)
                return value;
        }
        return std::nullopt;
    }

    // After the death of a process, by one recoverer at a time; may be interrupted and repeated.
    // `release(phase, position, payload)` is called for each cell that the dead was writing or reading,
    // before the cell is set free; again, should a recoverer die in between.
    template <class Release>
    void recover(shm::Owner dead, Release&& release) {
        producers_.recover(dead, producer_marker());
        consumers_.recover(dead, consumer_marker());
        const CellArray array = cells();
        for (std::uint64_t index = 0; index < capacity_; ++index)
            recover_cell(array, index, dead, release);
    }
    void recover(shm::Owner dead) {
        recover(dead, [](CellPhase, std::uint64_t, std::byte*) {});
    }

    // Parking, edge `channel-park`: a store that commits is a release only. Between it and the look at who
    // waits comes the first of these, between arming a bell and the last look at the ring the second; then
    // one of the two sees the other. The first costs nothing where there is a membarrier.
    void fence_after_commit() const {
        if (membarrier_ != 0)
            Fence::light_fence();
        else
            std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    void fence_after_arming() const {
        if (membarrier_ != 0)
            Fence::heavy_fence();
        else
            std::atomic_thread_fence(std::memory_order_seq_cst);
    }
    // A process joins before it commits anything; false if it cannot, but the maker of the ring could.
    bool joined() const { return membarrier_ == 0 || Fence::join(); }

    // For the ports.
    Roles& producers() { return producers_; }
    Roles& consumers() { return consumers_; }
    Marker producer_marker() const { return {cells(), CellPhase::empty, CellPhase::writing}; }
    Marker consumer_marker() const { return {cells(), CellPhase::full, CellPhase::reading}; }

    // Moves a cursor on from a cell that is claimed (or emptied), over whole laps where the word proves that
    // they are over: a cell that is claimed in lap L was emptied, with all others before it, in lap L - 1.
    void catch_up(Cursor& cursor, std::uint64_t word) const {
        const std::int64_t ahead = CellWord::laps_ahead(word, cursor.lap);
        const std::int64_t sure = ahead - (CellWord::phase(word) == CellPhase::empty ? 2 : 1);
        if (sure > 0)
            cursor =
                Cursor(cells(), cursor.position + static_cast<std::uint64_t>(sure) * capacity_);
        cursor.advance(cells());
    }

    enum class WalkEnd : std::uint8_t { stopped, empty, sealed, wrapped };

    // Goes over the claimed cells from `from` on, with `from` itself moved to the first that is not emptied;
    // calls visit(cursor, word) until it says true. `at` is where that, or the end, was.
    template <class Visit>
    WalkEnd walk(Cursor& from, Cursor& at, Visit&& visit) const {
        const CellArray array = cells();
        bool in_front = true;
        for (at = from; at.position - from.position < capacity_;) {
            // seq_cst, edge `channel-message`; and not before the fence of `channel-park`.
            const std::uint64_t word = at.state().load(std::memory_order_seq_cst);
            const std::int64_t ahead = CellWord::laps_ahead(word, at.lap);
            if (ahead < 0)
                return WalkEnd::wrapped;
            if (ahead > 0 && in_front) {
                catch_up(at, word);
                from = at; // invariant H
                continue;
            }
            if (ahead == 0) {
                if (CellWord::phase(word) == CellPhase::empty)
                    return WalkEnd::empty;
                if (CellWord::phase(word) == CellPhase::sealed)
                    return WalkEnd::sealed;
                if (visit(at, word))
                    return WalkEnd::stopped;
                in_front = false;
            }
            at.advance(array);
        }
        return WalkEnd::wrapped;
    }

private:
    // The bytes may change under it, then the copy is thrown away: a race by design, which the thread
    // sanitizer need not report.
    __attribute__((no_sanitize("thread"))) static void
    copy_unlocked(void* to, const std::byte* from, std::size_t bytes) {
        auto* const target = static_cast<std::byte*>(to);
        for (std::size_t i = 0; i < bytes; ++i)
            target[i] = static_cast<const volatile std::byte&>(from[i]);
    }

    template <class Release>
    void recover_cell(const CellArray& array, std::uint64_t index, shm::Owner dead,
                      Release& release) {
        const Cursor first(array, index);
        std::uint64_t word = first.state().load(std::memory_order_acquire);
        const CellPhase phase = CellWord::phase(word);
        if (CellWord::owner(word) != dead ||
            (phase != CellPhase::writing && phase != CellPhase::reading))
            return;
        const Cursor cursor(array, CellWord::Lap::get(word) * capacity_ + index);
        release(phase, cursor.position, cursor.payload());
        const CellPhase next =
            phase == CellPhase::writing ? CellPhase::voided : CellPhase::returned;
        // seq_cst: before the caller's look at who waits. Nobody else moves a cell of the dead.
        cursor.state().compare_exchange(word, cursor.word(next), std::memory_order_seq_cst,
                                        std::memory_order_relaxed);
    }

    //   0                               128         256         384
    //   | geometry, membarrier, end     | producers | consumers | cells
    alignas(base::cache_line) std::uint64_t capacity_;
    std::uint32_t stride_;
    std::uint32_t payload_bytes_;
    std::uint64_t membarrier_; // whether the fences of this ring are those of the kernel
    Atomic<std::uint64_t> end_;
    alignas(base::cache_line) Roles producers_;
    alignas(base::cache_line) Roles consumers_;
};

static_assert(sizeof(ChannelRing<>) == 3 * base::cache_line,
              "the geometry, and a line for each side");

} // namespace dshm::queue
