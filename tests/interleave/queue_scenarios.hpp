// What threads do with the members of a pool of workers and with the ring of a channel, for exploration. The code is the
// library's own, but for how who waits is woken, which is written out here as in runtime/worker_pool.cpp and runtime/channel.cpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "dshm/queue/channel_consumer.hpp"
#include "dshm/queue/channel_producer.hpp"
#include "dshm/queue/member_queue.hpp"
#include "dshm/sync/doorbell.hpp"
#include "interleave/word.hpp"

namespace queue_scenarios {

using interleave::assume;
using interleave::check;
using interleave::Data;
using interleave::Word;
using Bell = dshm::waiting::BasicDoorbell<Word, interleave::Sleep>;
using dshm::shm::Owner;

// ---- members of a pool ---------------------------------------------------------------------------

// So many slots are in use: of the others the words are read, but as plain memory, since nobody writes them.
constexpr unsigned slots = 2;
inline const void* first_unused = nullptr;

template <class T>
struct FewWords : Word<T> {
    using Text = const char*;
    T load(std::memory_order order, Text file = __builtin_FILE(), unsigned line = __builtin_LINE(),
           Text function = __builtin_FUNCTION()) const {
        return this >= first_unused ? T{} : Word<T>::load(order, file, line, function);
    }
};

constexpr Owner member(unsigned slot) { return {static_cast<std::uint8_t>(slot), 1}; }
constexpr auto all_live = [](Owner) { return true; };

struct Pool {
    using Members = dshm::queue::BasicMemberQueue<FewWords>;
    using Taken = dshm::queue::TakenMember;
    Members members{};
    Pool() {
        first_unused =
            reinterpret_cast<const std::byte*>(&members) + 128 + 8 * slots; // its diagram
        members.add(member(0), all_live);
    }
    bool take(unsigned me, Taken& taken) {
        return members.take(member(me), all_live, taken) == Members::Take::done;
    }
};

// What the last holder did comes before what the next one does (edge `worker-free`).
struct HandOver : Pool {
    static constexpr unsigned threads = 2;
    Data<int> work;
    void thread(unsigned me) {
        Taken taken;
        if (take(me, taken)) {
            work.write(1);
            check(members.give_back(taken), "who has a member cannot give it back");
        }
    }
    void at_end() {
        Taken taken;
        check(take(0, taken), "a member that was given back is not free");
    }
};

// A late return, by a ticket that is over, changes nothing; the launcher frees what a dead one had, once.
struct LateReturn : Pool {
    static constexpr unsigned threads = 3;
    Taken first;
    LateReturn() { take(1, first); }
    void thread(unsigned me) {
        if (me == 0) { // the launcher, after process 1 has died
            members.recover(member(1));
        } else if (me == 1) { // the end of a task that it had sent
            members.give_back(first);
        } else {
            Taken taken;
            assume(take(me, taken));
            check(members.state(0).holder() == member(me), "somebody else has given it back");
        }
    }
    void at_end() {
        check(members.state(0).phase() == dshm::queue::MemberPhase::taken, "given back in vain");
    }
};

// Somebody sleeps until a member is free (edge `pool-park`): Pool::wake_one and PoolWait.
struct PoolPark : Pool {
    static constexpr unsigned threads = 2;
    Bell bell{};
    Word<std::uint64_t> waiters{};
    Data<int> work;
    Taken first;
    PoolPark() { take(0, first); }
    void thread(unsigned me) {
        if (me == 0) {
            work.write(1);
            members.give_back(first);
            if (waiters.load(std::memory_order_seq_cst) != 0 &&
                waiters.fetch_and(0, std::memory_order_seq_cst) != 0)
                bell.ring();
            return;
        }
        Taken taken;
        const auto ready = [&] { return take(me, taken); };
        if (!ready()) {
            waiters.fetch_or(1, std::memory_order_seq_cst);
            bool got = false;
            while (!got)
                bell.wait([&] { return got = ready(); });
        }
        work.write(2);
    }
    void at_end() {}
};

// ---- the ring of a channel -----------------------------------------------------------------------

// What membarrier does between two threads of which one is the rare one. Between two of the usual ones it is too strong: for them,
// a light fence is none.
struct Membarrier {
    static bool join() { return true; }
    static void light_fence() { interleave::fence(std::memory_order_seq_cst); }
    static void heavy_fence() { interleave::fence(std::memory_order_seq_cst); }
};
struct NoFence {
    static bool join() { return true; }
    static void light_fence() {}
    static void heavy_fence() {}
};

template <std::uint64_t Capacity, bool Roles, class Fence = Membarrier>
struct Channel {
    using Ring = dshm::queue::ChannelRing<Word, Fence>;
    using Producer = dshm::queue::ChannelProducer<Word, Fence>;
    using Consumer = dshm::queue::ChannelConsumer<Word, Fence>;
    using Cursor = dshm::queue::CellCursor<Word>;
    using Put = dshm::queue::PutOutcome;
    using Take = dshm::queue::TakeOutcome;
    static constexpr dshm::queue::ChannelShape shape{Capacity, 8, Roles};

    alignas(128) std::array<std::byte, Ring::bytes(shape)> memory{};
    std::array<Data<unsigned>, Capacity> payloads;
    Ring& ring;
    Channel() : ring(Ring::create(memory.data(), shape)) {}

    void put(Producer& port, unsigned message) {
        Cursor at;
        assume(port.begin_put(at) == Put::done);
        payloads[at.position % Capacity].write(message);
        port.commit_put(at);
    }
    unsigned take(Consumer& port) {
        Cursor at;
        assume(port.begin_take(at) == Take::done);
        const unsigned message = payloads[at.position % Capacity].read();
        port.commit_take(at);
        return message;
    }
};

// Whoever takes a message finds what its producer wrote, and whoever puts one into a cell that was used finds that its reader has
// done with it (edges `channel-message`, `channel-room`).
template <bool Roles>
struct Transfer : Channel<1, Roles, NoFence> {
    static constexpr unsigned threads = 2;
    void thread(unsigned me) {
        if (me == 0) {
            typename Transfer::Producer port(this->ring, member(0));
            this->put(port, 1);
            this->put(port, 2);
        } else {
            typename Transfer::Consumer port(this->ring, member(1));
            const unsigned first = this->take(port);
            check(first == 1 && this->take(port) == 2, "messages come in another order");
        }
    }
    void at_end() {}
};

// Another producer takes the role of the one before it away, which may be at work in a cell (edge `membarrier`). It is the last
// role, so that both go on without one: others have had those before it.
struct LastRoleOfProducers : Channel<6, true> {
    static constexpr unsigned threads = 2;
    Producer last;
    LastRoleOfProducers() : last(ring, member(0)) {
        std::array<std::optional<Producer>, Ring::Roles::grants - 1> before;
        for (auto& one : before)
            put(one.emplace(ring, member(2)), 0);
        put(last, 0);
    }
    void thread(unsigned me) {
        if (me == 0) {
            put(last, 1);
        } else {
            Producer another(ring, member(1));
            put(another, 1);
        }
    }
    void at_end() { check(ring.size() == 6, "two have put a message into one cell"); }
};

// The same at the other side.
struct LastRoleOfConsumers : Channel<6, true> {
    static constexpr unsigned threads = 2;
    Consumer last;
    LastRoleOfConsumers() : last(ring, member(0)) {
        Producer producer(ring, member(3));
        for (unsigned i = 0; i < 6; ++i)
            put(producer, i);
        std::array<std::optional<Consumer>, Ring::Roles::grants - 1> before;
        for (auto& one : before)
            take(one.emplace(ring, member(2)));
        take(last);
    }
    void thread(unsigned me) {
        if (me == 0) {
            take(last);
        } else {
            Consumer another(ring, member(1));
            take(another);
        }
    }
    void at_end() { check(ring.empty(), "two have taken one message"); }
};

// Somebody sleeps until there is a message (edge `channel-park`): Channel::announce and ChannelWait.
struct ChannelPark : Channel<1, true> {
    static constexpr unsigned threads = 2;
    Bell bell{};
    Word<std::uint64_t> takers{};
    void thread(unsigned me) {
        if (me == 0) {
            Producer port(ring, member(0));
            put(port, 1);
            ring.fence_after_commit();
            if (takers.load(std::memory_order_relaxed) != 0 &&
                takers.fetch_and(0, std::memory_order_seq_cst) != 0)
                bell.ring();
            return;
        }
        while (ring.empty()) {
            takers.fetch_or(1, std::memory_order_seq_cst);
            ring.fence_after_arming();
            bell.wait([&] { return !ring.empty(); });
        }
    }
    void at_end() {}
};

// Nothing is put behind the end, and nothing before it is lost (edge `channel-end`).
struct EndOfRing : Channel<2, false> {
    static constexpr unsigned threads = 3;
    unsigned sent = 0, received = 0;
    void thread(unsigned me) {
        if (me == 0) {
            Producer port(ring, member(0));
            Cursor at;
            if (port.begin_put(at) == Put::done) {
                port.commit_put(at);
                sent = 1;
            }
        } else if (me == 1) {
            ring.end(Ring::closed);
        } else {
            Consumer port(ring, member(2));
            Cursor at;
            Take outcome;
            while ((outcome = port.begin_take(at)) == Take::done) {
                port.commit_take(at);
                ++received;
            }
            assume(outcome == Take::finished); // else it would look again
        }
    }
    void at_end() { check(sent == received, "a message was lost, or put behind the end"); }
};

} // namespace queue_scenarios
