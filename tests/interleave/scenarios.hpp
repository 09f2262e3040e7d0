// What threads do with the ring of task indices and the doorbell, for exploration. The code is the library's own; only its
// words, its fence and its futex are those of the explorer.
#pragma once

#include <array>
#include <cstddef>

#include "dshm/queue/index_ring.hpp"
#include "dshm/sync/doorbell.hpp"
#include "interleave/word.hpp"

namespace scenarios {

using interleave::assume;
using interleave::check;
using interleave::Data;
using interleave::Word;
using Ring = dshm::queue::IndexRing<2, Word>;
using Bell = dshm::waiting::BasicDoorbell<Word, interleave::Sleep>;
using dshm::queue::PutResult;
using Hint = Ring::ProducerHint;

inline dshm::queue::Entry entry(unsigned number) { return {static_cast<std::uint16_t>(number), 0}; }

// ---- the ring ------------------------------------------------------------------------------------

// Whoever finds an entry finds what its producer wrote before it put it (edge `ring-entry`), at head and behind it.
struct Publish {
    static constexpr unsigned threads = 2;
    Ring ring{};
    std::array<Data<int>, 2> said;
    void thread(unsigned me) {
        if (me == 0) {
            for (unsigned i = 0; i < 2; ++i) {
                said[i].write(1);
                check(ring.put(entry(i)) == PutResult::done, "an empty ring is full");
            }
        } else if (const auto front = ring.peek()) {
            check(said[front->entry.index].read() == 1,
                  "an entry came before its producer's words");
            if (const auto behind = ring.peek_behind(front->position, 1))
                check(said[behind->index].read() == 1, "an entry came before its producer's words");
        }
    }
    void at_end() {}
};

// Whoever overwrites a cell does so after the entry that lay there was settled (edge `ring-room`).
template <bool Remembers, unsigned Consumers>
struct Overwrite {
    static constexpr unsigned threads = 1 + Consumers;
    Ring ring{};
    std::array<Data<int>, 2> settled;
    Hint hint;
    Overwrite() {
        ring.put(entry(0), hint);
        ring.put(entry(1), hint);
    }
    void thread(unsigned me) {
        if (me == 0) {
            for (unsigned i = 0; i < Consumers; ++i) {
                const unsigned number = 2 + i;
                assume((Remembers ? ring.put(entry(number), hint) : ring.put(entry(number))) ==
                       PutResult::done);
                check(settled[i].read() == 1, "an entry was overwritten that nobody had settled");
            }
            return;
        }
        const auto front = ring.peek();
        check(front.has_value(), "a full ring is empty");
        assume(front->position == me - 1); // each settles one
        settled[front->position].write(1);
        check(ring.advance(front->position), "somebody else has settled it");
    }
    void at_end() {}
};

// Two that put and two that take, as tasks are taken: an entry is seen by several, and one swap of its own decides.
struct Exchange {
    static constexpr unsigned threads = 4;
    Ring ring{};
    std::array<Word<std::uint64_t>, 2> claims{};
    std::array<Data<int>, 2> said;
    std::array<unsigned, 2> taken{};
    void settle(const Ring::Front& front) {
        std::uint64_t nobody = 0;
        const unsigned number = front.entry.index;
        if (claims[number].compare_exchange(nobody, 1, std::memory_order_relaxed,
                                            std::memory_order_relaxed)) {
            check(said[number].read() == 1, "an entry came before its producer's words");
            ++taken[number];
        }
        ring.advance(front.position);
    }
    void thread(unsigned me) {
        if (me < 2) {
            said[me].write(1);
            check(ring.put(entry(me)) == PutResult::done, "an empty ring is full");
        } else if (const auto front = ring.peek()) {
            settle(*front);
        }
    }
    void at_end() {
        while (const auto front = ring.peek())
            settle(*front);
        check(taken[0] == 1 && taken[1] == 1, "an entry was lost or taken twice");
    }
};

// ---- parking -------------------------------------------------------------------------------------

// Someone sleeps until an event has happened (edge `park`), and finds what came before it.
struct Park {
    static constexpr unsigned threads = 2;
    Bell bell{};
    Word<std::uint64_t> event{};
    Data<int> said;
    void thread(unsigned me) {
        if (me == 0) {
            said.write(1);
            event.store(1, std::memory_order_seq_cst);
            bell.ring();
            return;
        }
        const auto ready = [&] { return event.load(std::memory_order_acquire) == 1; };
        while (!ready())
            bell.wait(ready);
        check(said.read() == 1, "an event came before its cause");
    }
    void at_end() {}
};

// Two threads sleep on one word for events of their own: the second may find it armed by the first.
struct ParkTogether {
    static constexpr unsigned threads = 3;
    Bell bell{};
    std::array<Word<std::uint64_t>, 2> events{};
    void thread(unsigned me) {
        if (me == 2) {
            for (auto& event : events) {
                event.store(1, std::memory_order_seq_cst);
                bell.ring();
            }
            return;
        }
        const auto ready = [&] { return events[me].load(std::memory_order_acquire) == 1; };
        while (!ready())
            bell.wait(ready);
    }
    void at_end() {}
};

// A waker dies between its event and its ring, or between its swap and its wake; the launcher hears of it, and rings whatever the
// word is.
template <bool Swaps>
struct ParkAndDeath {
    struct NoWake : interleave::Sleep {
        static void wake_all(std::uint32_t*) {}
    };
    using DyingBell = dshm::waiting::BasicDoorbell<Word, NoWake>;
    static constexpr unsigned threads = 3;
    Bell bell{};
    Word<std::uint64_t> event{}, dead{};
    void thread(unsigned me) {
        if (me == 0) {
            event.store(1, std::memory_order_seq_cst);
            if (Swaps)
                reinterpret_cast<DyingBell&>(bell).ring();
            dead.store(1, std::memory_order_release); // as the kernel tells it
        } else if (me == 1) {
            assume(dead.load(std::memory_order_acquire) == 1);
            bell.ring_always();
        } else {
            const auto ready = [&] { return event.load(std::memory_order_acquire) == 1; };
            while (!ready())
                bell.wait(ready);
        }
    }
    void at_end() {}
};

// A thief that finds a ring empty takes its bit away and looks again; its owner fills a cell and looks at the bit (edge
// `ready-hint`, Scheduler::clear_stale_hints and show_ready). No fence here: the words themselves must be seq_cst.
struct ReadyHint {
    static constexpr unsigned threads = 2;
    Ring ring{};
    dshm::shm::BasicProcessMask<Word> ready{};
    ReadyHint() { ready.set(0, std::memory_order_seq_cst); }
    void thread(unsigned me) {
        if (me == 0) {
            check(ring.put(entry(0)) == PutResult::done, "an empty ring is full");
            if (!ready.test(0, std::memory_order_seq_cst))
                ready.set(0, std::memory_order_seq_cst);
        } else if (!ring.peek()) {
            ready.clear(0, std::memory_order_seq_cst);
            if (ring.peek())
                ready.set(0, std::memory_order_seq_cst);
        }
    }
    void at_end() {
        check(ready.test(0, std::memory_order_relaxed), "a filled ring is without its bit");
    }
};

// As workers sleep: until there is an entry in a ring, which had others before, of whom somebody else makes room.
struct ParkForEntry {
    static constexpr unsigned threads = 3;
    Ring ring{};
    Bell bell{};
    Data<int> said;
    ParkForEntry() {
        ring.put(entry(0));
        ring.put(entry(1));
    }
    void thread(unsigned me) {
        if (me == 0) {
            said.write(1);
            assume(ring.put(entry(2)) == PutResult::done);
            bell.ring();
        } else if (me == 1) {
            ring.advance(0, 2);
        } else {
            const auto ready = [&] {
                const auto front = ring.peek();
                return front && front->entry == entry(2);
            };
            while (!ready())
                bell.wait(ready);
            check(said.read() == 1, "an entry came before its producer's words");
        }
    }
    void at_end() {}
};

// As producers sleep: until there is room (RingRoom and Scheduler::advance in runtime/scheduler.cpp).
struct ParkForRoom {
    static constexpr unsigned threads = 2;
    Ring ring{};
    Bell bell{};
    Hint hint;
    ParkForRoom() {
        ring.put(entry(0), hint);
        ring.put(entry(1), hint);
    }
    void thread(unsigned me) {
        if (me == 0) {
            while (ring.put(entry(2), hint) == PutResult::full) {
                ring.waiting_for_room().set(0, std::memory_order_seq_cst);
                bell.wait([&] { return !ring.full(); });
            }
            return;
        }
        check(ring.advance(0), "nobody else takes");
        ring.waiting_for_room().for_each(std::memory_order_seq_cst, [&](unsigned slot) {
            ring.waiting_for_room().clear(slot, std::memory_order_seq_cst);
            bell.ring();
        });
    }
    void at_end() {}
};

} // namespace scenarios
