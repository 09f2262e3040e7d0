// The ring of a channel: its order, its laps, its ends, the roles of its sides, and every state in which a
// process can leave it by dying.
//
// Deaths and stops are exact here: the ring is a template on its atomic, and the one of these tests throws at
// the n-th touch of a shared word, or waits there. What was thrown out of never comes back, as with a process.

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "dshm/queue/channel_consumer.hpp"
#include "dshm/queue/channel_producer.hpp"
#include "sanitizers.hpp"

using namespace dshm;
using queue::CellPhase;
using queue::CellWord;
using queue::ChannelShape;
using queue::PutOutcome;
using queue::TakeOutcome;
using shm::Owner;

namespace {

struct Died {};

// Where a thread is stopped while another acts.
class Gate {
public:
    void stop_here() {
        std::unique_lock lock(mutex_);
        stopped_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return open_; });
    }
    void wait_until_stopped() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return stopped_; });
    }
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stopped_ = false, open_ = false;
};

// Touches that are left to the thread; negative: any number. What happens then: it waits at its gate, or dies.
thread_local int touches_left = -1;
thread_local Gate* gate = nullptr;

void touch() {
    if (touches_left < 0 || touches_left-- != 0)
        return;
    if (gate == nullptr)
        throw Died{};
    gate->stop_here();
}

template <class T>
class Mortal {
public:
    T load(std::memory_order order) const {
        touch();
        return word_.load(order);
    }
    void store(T value, std::memory_order order) {
        touch();
        word_.store(value, order);
    }
    bool compare_exchange(T& expected, T desired, std::memory_order success,
                          std::memory_order failure) {
        touch();
        return word_.compare_exchange(expected, desired, success, failure);
    }

private:
    shm::Word<T> word_;
};

template <template <class> class Atomic>
struct Types {
    using Ring = queue::ChannelRing<Atomic>;
    using Producer = queue::ChannelProducer<Atomic>;
    using Consumer = queue::ChannelConsumer<Atomic>;
    using Cursor = queue::CellCursor<Atomic>;
};
using Plain = Types<shm::Word>;
using Frail = Types<Mortal>;

constexpr Owner first{2, 1}, second{3, 1}, third{4, 1};
constexpr std::size_t header = 3 * base::cache_line;

// A ring in zero-filled memory, as in a fresh segment, whose cells a test may write by hand.
template <class T = Plain>
class Memory {
public:
    explicit Memory(const ChannelShape& shape)
        : shape_(shape), bytes_(base::round_up(T::Ring::bytes(shape), base::cache_line)),
          data_(static_cast<std::byte*>(std::aligned_alloc(base::cache_line, bytes_)), &std::free) {
        std::memset(data_.get(), 0, bytes_);
        ring_ = &T::Ring::create(data_.get(), shape);
    }
    typename T::Ring& operator*() { return *ring_; }
    typename T::Ring* operator->() { return ring_; }

    std::uint64_t word(std::uint64_t position) const {
        std::uint64_t value;
        std::memcpy(&value, cell(position), sizeof value);
        return value;
    }
    // What a process leaves in the cell of a position.
    void set(std::uint64_t position, CellPhase phase, Owner owner = {}, std::uint64_t payload = 0) {
        const std::uint64_t value =
            CellWord::make(CellWord::lap_in_place(position / shape_.capacity), phase, owner.bits());
        std::memcpy(cell(position), &value, sizeof value);
        std::memcpy(cell(position) + 8, &payload, sizeof payload);
    }
    CellPhase phase(std::uint64_t position) const { return CellWord::phase(word(position)); }

private:
    std::byte* cell(std::uint64_t position) const {
        return data_.get() + header + position % shape_.capacity * 16;
    }
    ChannelShape shape_;
    std::size_t bytes_;
    std::unique_ptr<std::byte, void (*)(void*)> data_;
    typename T::Ring* ring_;
};

template <class Consumer>
std::optional<std::uint64_t> take(Consumer& consumer) {
    std::uint64_t value = 0;
    if (consumer.take(value) != TakeOutcome::done)
        return std::nullopt;
    return value;
}

template <class Consumer>
std::vector<std::uint64_t> take_all(Consumer& consumer) {
    std::vector<std::uint64_t> all;
    while (const auto value = take(consumer))
        all.push_back(*value);
    return all;
}

using Values = std::vector<std::uint64_t>;

const std::vector<ChannelShape> shapes = {{1, 8, true}, {1, 8, false}, {2, 8, true},
                                          {3, 8, true}, {3, 8, false}, {7, 8, true},
                                          {8, 8, true}, {8, 8, false}};

} // namespace

// ------------------------------------------------------------------------------------------------
// Order, capacity, laps
// ------------------------------------------------------------------------------------------------

TEST_CASE("a channel's ring holds exactly its capacity, through many laps") {
    for (const ChannelShape& shape : shapes) {
        Memory memory(shape);
        Plain::Producer producer(*memory, first);
        Plain::Consumer consumer(*memory, second);
        std::uint64_t put = 0, taken = 0;
        CHECK(memory->empty());
        for (std::uint64_t round = 0; round < 1000; ++round) {
            while (producer.put(put) == PutOutcome::done)
                ++put;
            REQUIRE(put - taken == shape.capacity);
            REQUIRE((memory->full() && memory->size() == shape.capacity && !memory->empty()));
            REQUIRE(memory->peek<std::uint64_t>() == taken);
            for (std::uint64_t i = 0; i <= round % shape.capacity; ++i)
                REQUIRE(take(consumer) == taken++);
            REQUIRE(!memory->full());
            REQUIRE(memory->size() == put - taken);
        }
    }
}

TEST_CASE("payloads of any size lie in line with their cells") {
    struct Big {
        std::array<std::uint64_t, 17> words;
    };
    Memory memory(ChannelShape{3, sizeof(Big)});
    Plain::Producer producer(*memory, first);
    Plain::Consumer consumer(*memory, second);
    for (std::uint64_t i = 0; i < 20; ++i) {
        Big big{}, back{};
        big.words.fill(i);
        REQUIRE(producer.put(big) == PutOutcome::done);
        REQUIRE(memory->peek<Big>()->words == big.words);
        REQUIRE(consumer.take(back) == TakeOutcome::done);
        REQUIRE(back.words == big.words);
    }
}

TEST_CASE("laps count past what their field holds") {
    for (const bool roles : {true, false}) {
        Memory memory(ChannelShape{3, 8, roles});
        const std::uint64_t start = 3 * ((std::uint64_t{1} << 37) - 2);
        for (std::uint64_t i = 0; i < 3; ++i)
            memory.set(start + i, CellPhase::empty);
        memory->producers().set_hint(start);
        memory->consumers().set_hint(start);
        Plain::Producer producer(*memory, first);
        Plain::Consumer consumer(*memory, second);
        for (std::uint64_t i = 0; i < 30; i += 2) {
            REQUIRE(
                (producer.put(i) == PutOutcome::done && producer.put(i + 1) == PutOutcome::done));
            REQUIRE((take(consumer) == i && take(consumer) == i + 1));
        }
    }
}

TEST_CASE("whoever comes late, or with hints of long ago, finds the place") {
    for (const ChannelShape& shape : shapes) {
        Memory memory(shape);
        Plain::Producer late_producer(*memory, first), producer(*memory, first);
        Plain::Consumer late_consumer(*memory, second), consumer(*memory, second);
        for (std::uint64_t i = 0; i < 1000; ++i) {
            REQUIRE(producer.put(i) == PutOutcome::done);
            REQUIRE(take(consumer) == i);
        }
        for (const std::uint64_t hint : {0u, 1u, 500u}) {
            memory->producers().set_hint(hint);
            memory->consumers().set_hint(hint);
            CHECK(memory->empty());
            CHECK(!memory->full());
            Plain::Producer new_producer(*memory, third);
            Plain::Consumer new_consumer(*memory, third);
            CHECK(!take(new_consumer));
            REQUIRE(new_producer.put(hint) == PutOutcome::done);
            CHECK(memory->size() == 1);
            CHECK(take(new_consumer) == hint);
        }
        REQUIRE(late_producer.put(std::uint64_t{7}) == PutOutcome::done);
        CHECK(take(late_consumer) == 7);
        CHECK(!take(consumer));
    }
}

// ------------------------------------------------------------------------------------------------
// Half-finished states, by hand
// ------------------------------------------------------------------------------------------------

TEST_CASE("a cell that is being written is passed over, and its message comes when it is there") {
    Memory memory(ChannelShape{3});
    Plain::Producer slow(*memory, first), producer(*memory, second);
    Plain::Consumer consumer(*memory, third);
    Plain::Cursor cell;
    REQUIRE(slow.begin_put(cell) == PutOutcome::done);
    REQUIRE(producer.put(std::uint64_t{1}) == PutOutcome::done);
    REQUIRE(producer.put(std::uint64_t{2}) == PutOutcome::done);
    CHECK(producer.put(std::uint64_t{3}) == PutOutcome::full);
    CHECK(take_all(consumer) == Values{1, 2});
    CHECK(memory->empty());
    const std::uint64_t nought = 0;
    std::memcpy(cell.payload(), &nought, 8);
    slow.commit_put(cell);
    CHECK(producer.put(std::uint64_t{4}) == PutOutcome::full); // the next cell in turn is taken
    CHECK(take(consumer) == 0);
    REQUIRE(producer.put(std::uint64_t{4}) == PutOutcome::done);
    CHECK(take_all(consumer) == Values{4});
}

TEST_CASE("a put that is given up leaves a cell that is passed over and used again") {
    for (const ChannelShape& shape : shapes) {
        Memory memory(shape);
        Plain::Producer producer(*memory, first);
        Plain::Consumer consumer(*memory, second);
        for (std::uint64_t i = 0; i < 3 * shape.capacity; ++i) {
            Plain::Cursor cell;
            REQUIRE(producer.begin_put(cell) == PutOutcome::done);
            producer.abandon_put(cell);
            CHECK(memory->empty());
        }
        for (std::uint64_t i = 0; i < shape.capacity; ++i)
            REQUIRE(producer.put(i) == PutOutcome::done);
        CHECK(producer.put(std::uint64_t{0}) == PutOutcome::full);
        CHECK(take_all(consumer).size() == shape.capacity);
    }
}

TEST_CASE("a message that is given back comes again, once") {
    for (const bool roles : {true, false}) {
        Memory memory(ChannelShape{3, 8, roles});
        Plain::Producer producer(*memory, first);
        Plain::Consumer consumer(*memory, second), other(*memory, third);
        for (std::uint64_t i = 0; i < 3; ++i)
            REQUIRE(producer.put(i) == PutOutcome::done);
        for (int i = 0; i < 3; ++i) {
            Plain::Cursor cell;
            REQUIRE(consumer.begin_take(cell) == TakeOutcome::done);
            CHECK(memory->size() == 2);
            CHECK(memory->message(cell.position) == CellPhase::reading);
            consumer.undo_take(cell);
            CHECK(memory->size() == 3);
        }
        CHECK(memory->peek<std::uint64_t>() == 0);
        CHECK(take_all(other) == Values{0, 1, 2});
        CHECK(!take(consumer));
    }
}

TEST_CASE("a message may be withdrawn until it is taken") {
    Memory memory(ChannelShape{2});
    Plain::Producer producer(*memory, first);
    Plain::Consumer consumer(*memory, second);
    REQUIRE(producer.put(std::uint64_t{0}) == PutOutcome::done);
    CHECK(take(consumer) == 0); // has the role by now
    CHECK(memory->message(producer.last_position()) == CellPhase::empty);
    CHECK(!memory->withdraw(producer.last_position()));
    for (std::uint64_t i = 1; i < 10; ++i) { // more than the capacity, and nobody takes
        REQUIRE(producer.put(i) == PutOutcome::done);
        CHECK(memory->message(producer.last_position()) == CellPhase::full);
        CHECK(memory->withdraw(producer.last_position()));
        CHECK(!memory->withdraw(producer.last_position()));
        CHECK(!take(consumer));
    }
    REQUIRE(producer.put(std::uint64_t{10}) == PutOutcome::done);
    Plain::Cursor cell;
    REQUIRE(consumer.begin_take(cell) == TakeOutcome::done);
    CHECK(!memory->withdraw(producer.last_position()));
    consumer.undo_take(cell);
    CHECK(memory->withdraw(producer.last_position()));
    CHECK(memory->empty());
}

TEST_CASE("what a dead process had in hand is voided or returned, however often recovery runs") {
    Memory memory(ChannelShape{5, 8, false});
    memory.set(0, CellPhase::reading, first, 10);
    memory.set(1, CellPhase::writing, first, 11);
    memory.set(2, CellPhase::full, {}, 12);
    memory.set(3, CellPhase::writing, second, 13);
    memory.set(4, CellPhase::returned, {}, 14);
    std::vector<std::uint64_t> told;
    for (int i = 0; i < 2; ++i)
        memory->recover(first, [&](CellPhase phase, std::uint64_t position, std::byte* payload) {
            std::uint64_t value;
            std::memcpy(&value, payload, 8);
            CHECK(value == 10 + position);
            CHECK(phase == (position == 0 ? CellPhase::reading : CellPhase::writing));
            told.push_back(position);
        });
    CHECK(told == Values{0, 1});
    CHECK(memory->size() == 3);
    Plain::Consumer consumer(*memory, third);
    CHECK(take_all(consumer) == Values{10, 12, 14});
    memory->recover(second);
    Plain::Producer producer(*memory, third);
    for (std::uint64_t i = 0; i < 5; ++i)
        CHECK(producer.put(i) == PutOutcome::done);
    CHECK(producer.put(std::uint64_t{5}) == PutOutcome::full);
    CHECK(take_all(consumer) == Values{0, 1, 2, 3, 4});
}

// ------------------------------------------------------------------------------------------------
// Ends
// ------------------------------------------------------------------------------------------------

TEST_CASE("an ended ring refuses, gives what is left, and is finished") {
    for (const ChannelShape& shape : shapes) {
        for (std::uint64_t left = 0; left <= shape.capacity; ++left) {
            Memory memory(shape);
            Plain::Producer producer(*memory, first), other(*memory, second);
            Plain::Consumer consumer(*memory, second), late(*memory, third);
            for (std::uint64_t i = 0; i < 5 * shape.capacity; ++i) {
                REQUIRE(producer.put(i) == PutOutcome::done);
                REQUIRE(take(consumer) == i);
            }
            for (std::uint64_t i = 0; i < left; ++i)
                REQUIRE(producer.put(i) == PutOutcome::done);
            CHECK(memory->end(Plain::Ring::closed));
            CHECK(!memory->end(4096));
            CHECK(memory->end() == Plain::Ring::closed);
            CHECK(producer.put(std::uint64_t{0}) == PutOutcome::ended);
            CHECK(other.put(std::uint64_t{0}) == PutOutcome::ended);
            CHECK(take_all(consumer).size() == left);
            std::uint64_t value;
            CHECK(consumer.take(value) == TakeOutcome::finished);
            CHECK(late.take(value) == TakeOutcome::finished);
            CHECK(producer.put(std::uint64_t{0}) == PutOutcome::ended);
            CHECK(Plain::Producer(*memory, third).put(std::uint64_t{0}) == PutOutcome::ended);
        }
    }
}

TEST_CASE("a ring is not drained while something is being written, nor finished while it is read") {
    Memory memory(ChannelShape{3});
    Plain::Producer slow(*memory, first), producer(*memory, second);
    Plain::Consumer consumer(*memory, second), reader(*memory, third);
    Plain::Cursor written, read;
    REQUIRE(slow.begin_put(written) == PutOutcome::done);
    REQUIRE(producer.put(std::uint64_t{1}) == PutOutcome::done);
    memory->end(Plain::Ring::closed);
    std::uint64_t value;
    CHECK(take(consumer) == 1);
    CHECK(consumer.take(value) == TakeOutcome::empty);
    slow.commit_put(written);
    REQUIRE(reader.begin_take(read) == TakeOutcome::done);
    CHECK(consumer.take(value) == TakeOutcome::drained);
    memory->recover(third); // as if the reader had died
    CHECK(consumer.take(value) == TakeOutcome::done);
    CHECK(consumer.take(value) == TakeOutcome::finished);
}

TEST_CASE("a producer that looked before the end either delivers or meets the seal") {
    for (const bool sealed_first : {true, false}) {
        Memory memory(ChannelShape{2, 8, false});
        Plain::Consumer consumer(*memory, second);
        memory->end(4096);
        std::uint64_t value;
        if (sealed_first) {
            CHECK(consumer.take(value) == TakeOutcome::finished);
            CHECK(memory.phase(0) == CellPhase::sealed);
        }
        // the late producer's step: empty of its lap, to writing
        std::uint64_t expected = CellWord::make(0, CellPhase::empty);
        Plain::Cursor cell(memory->cells(), 0);
        const bool claimed =
            cell.state().compare_exchange(expected, cell.word(CellPhase::writing, first.bits()),
                                          std::memory_order_seq_cst, std::memory_order_seq_cst);
        CHECK(claimed == !sealed_first);
        if (!claimed)
            continue;
        CHECK(consumer.take(value) == TakeOutcome::empty);
        CHECK(memory.phase(1) == CellPhase::sealed);
        cell.state().store(cell.word(CellPhase::full), std::memory_order_release);
        CHECK(consumer.take(value) == TakeOutcome::done);
        CHECK(consumer.take(value) == TakeOutcome::finished);
    }
}

// ------------------------------------------------------------------------------------------------
// Roles
// ------------------------------------------------------------------------------------------------

TEST_CASE("the role goes to whoever is alone, and a side with many users is shared") {
    Memory memory(ChannelShape{4});
    {
        Plain::Producer a(*memory, first);
        for (int i = 0; i < 20; ++i) { // one after the other: given back each time
            Plain::Producer b(*memory, second);
            Plain::Consumer consumer(*memory, third);
            REQUIRE(b.put(std::uint64_t{1}) == PutOutcome::done);
            REQUIRE(take(consumer) == 1);
        }
        CHECK(!memory->producers().all_retired());
    }
    Plain::Producer a(*memory, first), b(*memory, second);
    Plain::Consumer consumer(*memory, third);
    for (std::uint64_t i = 0; i < 20; ++i) {
        REQUIRE((i % 2 == 0 ? a : b).put(i) == PutOutcome::done);
        REQUIRE(take(consumer) == i);
    }
    CHECK(memory->producers().all_retired());
    CHECK(!memory->consumers().all_retired());
}

// ------------------------------------------------------------------------------------------------
// Deaths at every touch of a shared word
// ------------------------------------------------------------------------------------------------

namespace {

// Ports of the dead are never destroyed: nobody gives their role back.
template <class Port>
Port& immortal(typename Frail::Ring& ring, Owner owner) {
    static std::vector<std::shared_ptr<void>> kept;
    auto* const memory = ::operator new(sizeof(Port));
    kept.emplace_back(memory, [](void* p) { ::operator delete(p); });
    return *new (memory) Port(ring, owner);
}

// Runs the steps with so many touches; true if it survived them.
bool survives(int touches, const std::function<void()>& steps) {
    touches_left = touches;
    bool alive = true;
    try {
        steps();
    } catch (const Died&) {
        alive = false;
    }
    touches_left = -1;
    return alive;
}

struct Account {
    std::uint64_t puts_begun = 0, puts_done = 0; // by the victim, values 100, 101, ...
    std::vector<std::uint64_t> taken;            // by the victim
    bool take_begun = false;
};

// What is found afterwards must be what was put, in order, less what the victim took and perhaps the one
// message that it was at.
void check_account(const Account& account, const Values& before, Values found) {
    Values expected = before;
    for (std::uint64_t i = 0; i < account.puts_done; ++i)
        expected.push_back(100 + i);
    for (const std::uint64_t value : account.taken)
        expected.erase(std::find(expected.begin(), expected.end(), value));
    if (account.puts_begun > account.puts_done && !found.empty() &&
        found.back() == 100 + account.puts_done)
        expected.push_back(100 + account.puts_done);
    std::sort(found.begin(), found.end()); // a returned message may come late
    if (account.take_begun && found.size() + 1 == expected.size())
        expected.erase(expected.begin());
    CHECK(found == expected);
}

// Victim's scenario: another thread holds the roles or not, the victim puts and takes, then dies at a touch; a
// survivor goes on before recovery, recovery dies at a touch of its own and is repeated.
struct Scenario {
    ChannelShape shape;
    bool others_hold_roles;
    bool survivor_first;
    bool end_by_victim;
};

void victims_life(Frail::Ring& ring, const Scenario& scenario, Frail::Producer& producer,
                  Frail::Consumer& consumer, Account& account) {
    for (int i = 0; i < 2; ++i) {
        ++account.puts_begun;
        if (producer.put(100 + account.puts_done) != PutOutcome::done) {
            --account.puts_begun;
            break;
        }
        ++account.puts_done;
    }
    for (int i = 0; i < 2; ++i) {
        std::uint64_t value = 0;
        account.take_begun = true;
        if (consumer.take(value) == TakeOutcome::done)
            account.taken.push_back(value);
        account.take_begun = false;
    }
    if (scenario.end_by_victim)
        ring.end(Frail::Ring::closed);
}

bool die_and_recover(const Scenario& scenario, int touches, int recovery_touches,
                     bool& recovery_survived) {
    Memory<Frail> memory(scenario.shape);
    auto& other_producer = immortal<Frail::Producer>(*memory, second);
    auto& other_consumer = immortal<Frail::Consumer>(*memory, second);
    auto& producer = immortal<Frail::Producer>(*memory, first);
    auto& consumer = immortal<Frail::Consumer>(*memory, first);
    Values before;
    if (scenario.others_hold_roles) {
        (void)other_producer.put(std::uint64_t{1});
        (void)take(other_consumer);
        if (scenario.shape.capacity > 1 && other_producer.put(std::uint64_t{2}) == PutOutcome::done)
            before.push_back(2);
    }
    Account account;
    const bool alive =
        survives(touches, [&] { victims_life(*memory, scenario, producer, consumer, account); });
    Values found;
    if (scenario.survivor_first)
        found = take_all(other_consumer);
    recovery_survived = survives(recovery_touches, [&] { memory->recover(first); });
    memory->recover(first);
    for (const std::uint64_t value : take_all(other_consumer))
        found.push_back(value);
    check_account(account, before, found);
    for (int round = 0; round < 2 && memory->end() == 0; ++round) {
        for (std::uint64_t i = 0; i < scenario.shape.capacity; ++i)
            REQUIRE(other_producer.put(i) == PutOutcome::done);
        REQUIRE(other_producer.put(std::uint64_t{0}) == PutOutcome::full);
        REQUIRE(memory->size() == scenario.shape.capacity);
        REQUIRE(take_all(other_consumer).size() == scenario.shape.capacity);
    }
    memory->end(Frail::Ring::closed);
    std::uint64_t value;
    CHECK(other_consumer.take(value) == TakeOutcome::finished);
    return alive;
}

} // namespace

TEST_CASE("a death at any touch, and one of the recoverer, leave the ring whole") {
    for (const ChannelShape& shape : {ChannelShape{1}, ChannelShape{2}, ChannelShape{3, 8, false}})
        for (unsigned bits = 0; bits < 8; ++bits) {
            const Scenario scenario{shape, (bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0};
            bool alive = false;
            for (int touches = 0; !alive; ++touches) {
                bool recovered = false;
                for (int again = 0; !recovered; ++again)
                    alive = die_and_recover(scenario, touches, again, recovered);
            }
        }
}

// Who retires a role may claim a cell for its holder, which is dead; one that is stopped over it does not
// finish, and recovery does in its place.
TEST_CASE(
    "after one recovery nothing is the dead one's, wherever one that retires its role stops") {
    const auto try_all = [](const auto& act, CellPhase phase) {
        bool alive = false;
        for (int dies_at = 0; !alive; ++dies_at) {
            bool went_on = false;
            for (int stops_at = 0; !went_on; ++stops_at) {
                Memory<Frail> memory(ChannelShape{2});
                memory.set(0, phase);
                memory.set(1, phase);
                alive = survives(dies_at, [&] { act(*memory, first); });
                went_on = survives(stops_at, [&] { act(*memory, second); });
                memory->recover(first);
                for (const bool later : {false, true}) {
                    if (later)
                        act(*memory, third);
                    for (std::uint64_t position = 0; position < 2; ++position)
                        REQUIRE(CellWord::owner(memory.word(position)) != first);
                }
            }
        }
    };
    try_all([](Frail::Ring& ring,
               Owner owner) { (void)immortal<Frail::Producer>(ring, owner).put(std::uint64_t{1}); },
            CellPhase::empty);
    try_all(
        [](Frail::Ring& ring, Owner owner) { (void)take(immortal<Frail::Consumer>(ring, owner)); },
        CellPhase::full);
}

// ------------------------------------------------------------------------------------------------
// Stops at every touch: the others are not held up, and what the stopped one does later harms nobody
// ------------------------------------------------------------------------------------------------

namespace {

struct Stop {
    ChannelShape shape;
    bool others_first; // so that the one that is stopped is about to take a role from somebody
    bool others_end;
};

// The victim puts 100, 101, 102 and takes in between; true if it ran to its end without a stop.
bool stop_and_go_on(const Stop& stop, int touches) {
    Memory<Frail> memory(stop.shape);
    Frail::Producer others_producer(*memory, second);
    Frail::Consumer others_consumer(*memory, second);
    Values puts, takes;
    const auto put_one = [](Frail::Producer& producer, std::uint64_t value, Values& done) {
        if (producer.put(value) == PutOutcome::done)
            done.push_back(value);
    };
    if (stop.others_first) {
        put_one(others_producer, 1, puts);
        if (const auto value = take(others_consumer))
            takes.push_back(*value);
    }
    Gate here;
    Values victims_puts, victims_takes;
    std::atomic<bool> unstopped{false};
    std::thread victim([&] {
        gate = &here;
        touches_left = touches;
        Frail::Producer producer(*memory, first);
        Frail::Consumer consumer(*memory, first);
        for (std::uint64_t i = 0; i < 3; ++i) {
            put_one(producer, 100 + i, victims_puts);
            if (const auto value = take(consumer))
                victims_takes.push_back(*value);
        }
        unstopped = touches_left >= 0;
        touches_left = -1;
        if (unstopped)
            here.stop_here();
    });
    here.wait_until_stopped();
    for (std::uint64_t i = 2; i < 5; ++i) {
        put_one(others_producer, i, puts);
        if (const auto value = take(others_consumer))
            takes.push_back(*value);
    }
    put_one(others_producer, 5, puts);
    if (stop.others_end)
        memory->end(Frail::Ring::closed);
    here.open();
    victim.join();
    for (const std::uint64_t value : take_all(others_consumer))
        takes.push_back(value);
    std::uint64_t none;
    CHECK(others_consumer.take(none) ==
          (stop.others_end ? TakeOutcome::finished : TakeOutcome::empty));
    const auto of_victim = [](std::uint64_t value) { return value >= 100; };
    for (const Values& some : {takes, victims_takes}) { // each sees each producer's order
        Values victims, others;
        std::partition_copy(some.begin(), some.end(), std::back_inserter(victims),
                            std::back_inserter(others), of_victim);
        CHECK(std::is_sorted(victims.begin(), victims.end()));
        CHECK(std::is_sorted(others.begin(), others.end()));
    }
    puts.insert(puts.end(), victims_puts.begin(), victims_puts.end());
    takes.insert(takes.end(), victims_takes.begin(), victims_takes.end());
    std::sort(takes.begin(), takes.end());
    CHECK(takes == puts);
    return unstopped;
}

} // namespace

TEST_CASE("a stop at any touch holds nobody up and harms nothing") {
    for (const ChannelShape& shape :
         {ChannelShape{1}, ChannelShape{2}, ChannelShape{4}, ChannelShape{2, 8, false}})
        for (unsigned bits = 0; bits < 4; ++bits)
            for (int touches = 0;
                 !stop_and_go_on({shape, (bits & 1) != 0, (bits & 2) != 0}, touches); ++touches)
                ;
}

TEST_CASE("what is put while a ring ends is refused or found, wherever its producer stops") {
    std::atomic<bool> unstopped{false};
    for (int stops_at = 0; !unstopped; ++stops_at) {
        Memory<Frail> memory(ChannelShape{2});
        auto& consumer = immortal<Frail::Consumer>(*memory, second);
        auto& producer = immortal<Frail::Producer>(*memory, first);
        Values puts;
        Gate here;
        std::thread victim([&] {
            gate = &here;
            touches_left = stops_at;
            for (const std::uint64_t value : {1, 2})
                if (producer.put(value) == PutOutcome::done)
                    puts.push_back(value);
            unstopped = touches_left >= 0;
            touches_left = -1;
            if (unstopped)
                here.stop_here();
        });
        here.wait_until_stopped();
        memory->end(Frail::Ring::closed);
        Values found = take_all(consumer);
        std::uint64_t none;
        const bool finished = consumer.take(none) == TakeOutcome::finished; // nobody looks again
        here.open();
        victim.join();
        for (const std::uint64_t value : finished ? Values() : take_all(consumer))
            found.push_back(value);
        REQUIRE(found == puts);
        REQUIRE(consumer.take(none) == TakeOutcome::finished);
    }
}

// The flight of the dead is not that of the next holder: else a cell might be claimed for one that passes
// it over.
TEST_CASE("whoever gets the role of the dead leaves no cell half-written, wherever it stops") {
    bool alive = false;
    for (int dies_at = 0; !alive; ++dies_at) {
        std::atomic<bool> unstopped{false};
        for (int stops_at = 0; !unstopped; ++stops_at) {
            Memory<Frail> memory(ChannelShape{4});
            const auto put_by = [&](Owner owner) {
                return immortal<Frail::Producer>(*memory, owner).put(std::uint64_t{1});
            };
            alive = survives(dies_at, [&] { (void)put_by(first); });
            memory->recover(first);
            Gate here;
            std::thread next([&] {
                gate = &here;
                touches_left = stops_at;
                (void)put_by(second);
                unstopped = touches_left >= 0;
                touches_left = -1;
                if (unstopped)
                    here.stop_here();
            });
            here.wait_until_stopped();
            REQUIRE(put_by(third) == PutOutcome::done);
            here.open();
            next.join();
            for (std::uint64_t position = 0; position < 4; ++position)
                REQUIRE(memory.phase(position) != CellPhase::writing);
        }
    }
}

TEST_CASE("a message is withdrawn or taken, wherever its taker stops") {
    for (const bool roles : {true, false}) {
        bool unstopped = false;
        for (int touches = 0; !unstopped; ++touches) {
            Memory<Frail> memory({2, 8, roles});
            Frail::Producer producer(*memory, first);
            Frail::Consumer consumer(*memory, second);
            REQUIRE(producer.put(std::uint64_t{1}) == PutOutcome::done);
            REQUIRE(take(consumer) == 1); // has the role by now
            REQUIRE(producer.put(std::uint64_t{2}) == PutOutcome::done);
            Gate here;
            std::optional<std::uint64_t> taken;
            std::thread victim([&] {
                gate = &here;
                touches_left = touches;
                taken = take(consumer);
                unstopped = touches_left >= 0;
                touches_left = -1;
                if (unstopped)
                    here.stop_here();
            });
            here.wait_until_stopped();
            const bool withdrawn = memory->withdraw(producer.last_position());
            here.open();
            victim.join();
            CHECK(withdrawn != taken.has_value());
            CHECK(memory->empty());
        }
    }
}

// ------------------------------------------------------------------------------------------------
// Threads
// ------------------------------------------------------------------------------------------------

namespace {

// Through each ring. More show the thread sanitizer nothing new, and take it minutes on a busy machine.
#ifdef DSHM_THREAD_SANITIZED
constexpr std::uint32_t some_messages = 1'000;
#else
constexpr std::uint32_t some_messages = 5'000;
#endif

struct Message {
    std::uint32_t producer, number;
};

// Each producer numbers its messages; a consumer must see the numbers of each grow.
struct Traffic {
    std::uint32_t producers, consumers, messages;
    std::uint32_t operations_per_port; // ports that come and go hand roles over

    void run(const ChannelShape& shape) const {
        Memory memory(shape);
        std::vector<std::thread> threads;
        std::vector<std::atomic<int>> seen(std::size_t{producers} * messages);
        std::atomic<std::uint32_t> producing{producers};
        for (std::uint32_t p = 0; p < producers; ++p)
            threads.emplace_back([&, p] {
                produce(memory, p);
                if (--producing == 0)
                    memory->end(Plain::Ring::closed);
            });
        std::atomic<bool> ordered{true};
        for (std::uint32_t c = 0; c < consumers; ++c)
            threads.emplace_back([&] { consume(memory, seen, ordered); });
        for (std::thread& thread : threads)
            thread.join();
        CHECK(ordered);
        CHECK(std::all_of(seen.begin(), seen.end(), [](const auto& count) { return count == 1; }));
    }

    void produce(Memory<>& memory, std::uint32_t p) const {
        std::optional<Plain::Producer> port;
        for (std::uint32_t i = 0; i < messages; ++i) {
            if (i % operations_per_port == 0)
                port.emplace(*memory, Owner{static_cast<std::uint8_t>(2 + p), 1});
            while (port->put(Message{p, i}) != PutOutcome::done)
                std::this_thread::yield();
        }
    }
    void consume(Memory<>& memory, std::vector<std::atomic<int>>& seen,
                 std::atomic<bool>& ordered) const {
        std::optional<Plain::Consumer> port;
        std::vector<std::int64_t> last(producers, -1);
        for (std::uint32_t i = 0;; ++i) {
            if (i % operations_per_port == 0)
                port.emplace(*memory, Owner{100, 1});
            Message message{};
            const TakeOutcome outcome = port->take(message);
            if (outcome == TakeOutcome::finished)
                return;
            if (outcome != TakeOutcome::done) {
                std::this_thread::yield();
                continue;
            }
            ++seen[std::size_t{message.producer} * messages + message.number];
            if (message.number <= last[message.producer])
                ordered = false;
            last[message.producer] = message.number;
        }
    }
};

} // namespace

TEST_CASE("threads lose nothing, invent nothing and keep each producer's order") {
    for (const ChannelShape& shape : shapes) {
        Traffic{1, 1, 4 * some_messages, 1'000'000}.run(shape);
        Traffic{2, 1, some_messages, 1'000'000}.run(shape);
        Traffic{1, 2, some_messages, 300}.run(shape);
        Traffic{3, 3, some_messages, 500}.run(shape);
    }
}

TEST_CASE("roles pass between threads in the middle of their work") {
    for (int round = 0; round < 100; ++round) {
        Traffic{2, 2, 200, 50}.run({2, 8, true});
        Traffic{2, 1, 200, 1000}.run({3, 8, true});
    }
}

TEST_CASE("a message is withdrawn or taken, never both") {
    Memory memory(ChannelShape{2});
    std::atomic<std::uint64_t> taken{0}, withdrawn{0};
    constexpr std::uint64_t messages = 20'000;
    std::thread consumer([&] {
        Plain::Consumer port(*memory, second);
        std::uint64_t value;
        for (TakeOutcome outcome; (outcome = port.take(value)) != TakeOutcome::finished;)
            if (outcome == TakeOutcome::done)
                ++taken;
    });
    Plain::Producer port(*memory, first);
    for (std::uint64_t i = 0; i < messages; ++i) {
        while (port.put(i) != PutOutcome::done)
            std::this_thread::yield();
        withdrawn += memory->withdraw(port.last_position());
    }
    memory->end(Plain::Ring::closed);
    consumer.join();
    CHECK(taken + withdrawn == messages);
}
