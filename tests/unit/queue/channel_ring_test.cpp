// The ring of a channel: its order, its laps, its ends, the roles of its sides, and states that processes
// have left in it by dying, written by hand.

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
