// The ring of a channel when a process dies, or stands still, at any touch of a shared word.

#include <algorithm>
#include <functional>
#include <thread>

#include "catch.hpp"
#include "channel_rings.hpp"

using namespace dshm;
using namespace dshm::test;
using queue::CellPhase;
using queue::ChannelShape;
using queue::PutOutcome;
using queue::TakeOutcome;
using shm::Owner;

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
