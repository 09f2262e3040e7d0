// The ring of task indices, also from states that a process which died at the worst moment leaves behind.

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "dshm/queue/index_ring.hpp"

using namespace dshm;
using queue::Entry;
using queue::IndexRing;
using queue::PutResult;

namespace {

// A ring in zero-filled memory, as in a fresh segment, whose words a test may write by hand.
template <std::size_t Cells>
struct RawRing {
    alignas(base::cache_line) std::array<std::byte, sizeof(IndexRing<Cells>)> bytes{};

    IndexRing<Cells>& ring() { return *reinterpret_cast<IndexRing<Cells>*>(bytes.data()); }
    std::uint64_t word(std::size_t offset) const {
        std::uint64_t value;
        std::memcpy(&value, bytes.data() + offset, sizeof value);
        return value;
    }
    void set_word(std::size_t offset, std::uint64_t value) {
        std::memcpy(bytes.data() + offset, &value, sizeof value);
    }

    static constexpr std::size_t head = 0, tail = 128, cells = 384;
    std::uint64_t cell(std::uint64_t position) const {
        return word(cells + 8 * (position % Cells));
    }
    // What a producer writes into the cell of a position.
    void fill_by_hand(std::uint64_t position, Entry entry) {
        set_word(cells + 8 * (position % Cells), (position / Cells + 1) << 40 |
                                                     std::uint64_t{entry.generation} << 16 |
                                                     entry.index);
    }
};

Entry entry_number(std::uint64_t n) {
    return {static_cast<std::uint16_t>(n),
            static_cast<std::uint32_t>(n >> 16) & queue::entry_generation_mask};
}

template <std::size_t Cells>
std::optional<Entry> take(IndexRing<Cells>& ring) {
    const auto front = ring.peek();
    if (!front)
        return std::nullopt;
    REQUIRE(ring.advance(front->position));
    return front->entry;
}

} // namespace

TEST_CASE("a ring of zeros is empty and takes entries in order") {
    RawRing<8> raw;
    CHECK(!raw.ring().peek());
    CHECK(raw.ring().size_hint() == 0);
    CHECK(!raw.ring().full());
    for (std::uint16_t i = 0; i < 5; ++i)
        REQUIRE(raw.ring().put({i, 100u + i}) == PutResult::done);
    for (std::uint16_t i = 0; i < 5; ++i)
        CHECK(take(raw.ring()) == Entry{i, 100u + i});
    CHECK(!raw.ring().peek());
}

TEST_CASE("an entry keeps the largest index and generation") {
    RawRing<8> raw;
    const Entry largest{0xffff, queue::entry_generation_mask};
    REQUIRE(raw.ring().put(largest) == PutResult::done);
    CHECK(take(raw.ring()) == largest);
}

TEST_CASE("a full ring refuses until one is taken, through many laps") {
    RawRing<8> raw;
    std::uint64_t put = 0, taken = 0;
    for (int lap = 0; lap < 1000; ++lap) {
        while (raw.ring().put(entry_number(put)) == PutResult::done)
            ++put;
        REQUIRE(put - taken == 8);
        REQUIRE(raw.ring().full());
        for (int i = 0; i <= lap % 8; ++i)
            REQUIRE(take(raw.ring()) == entry_number(taken++));
        REQUIRE(!raw.ring().full());
    }
}

TEST_CASE("a producer's own hint may be anything") {
    RawRing<8> raw;
    IndexRing<8>::ProducerHint hint, lagging;
    for (std::uint64_t n = 0; n < 100; ++n) {
        REQUIRE(raw.ring().put(entry_number(n), n % 7 == 0 ? lagging : hint) == PutResult::done);
        REQUIRE(take(raw.ring()) == entry_number(n));
    }
    for (std::uint64_t n = 0; n < 8; ++n)
        REQUIRE(raw.ring().put(entry_number(n), lagging) == PutResult::done);
    CHECK(raw.ring().put({}, hint) == PutResult::full);
    CHECK(raw.ring().put({}, lagging) == PutResult::full);
    CHECK(raw.ring().put({}) == PutResult::full);
}

TEST_CASE("cells that were filled by a producer which died before it moved tail are found, and not "
          "overwritten") {
    RawRing<8> raw;
    REQUIRE(raw.ring().put({1, 1}) == PutResult::done);
    raw.fill_by_hand(1, {2, 2});
    raw.fill_by_hand(2, {3, 3});
    REQUIRE(raw.ring().put({4, 4}) == PutResult::done);
    for (std::uint16_t i = 1; i <= 4; ++i)
        CHECK(take(raw.ring()) == Entry{i, i});
    CHECK(!raw.ring().peek());
}

TEST_CASE("a late store that throws tail back costs a walk and nothing else") {
    RawRing<8> raw;
    for (std::uint64_t n = 0; n < 20; ++n) {
        REQUIRE(raw.ring().put(entry_number(n)) == PutResult::done);
        REQUIRE(take(raw.ring()) == entry_number(n));
    }
    for (std::uint64_t n = 20; n < 26; ++n) {
        REQUIRE(raw.ring().put(entry_number(n)) == PutResult::done);
        for (const std::uint64_t stale : {0u, 7u, 19u, 21u}) {
            raw.set_word(raw.tail, stale);
            CHECK(raw.ring().peek()->entry == entry_number(20));
        }
    }
    raw.set_word(raw.tail, 3);
    REQUIRE(raw.ring().put(entry_number(26)) == PutResult::done);
    raw.set_word(raw.tail, 3);
    REQUIRE(raw.ring().put(entry_number(27)) == PutResult::done);
    raw.set_word(raw.tail, 3);
    REQUIRE(raw.ring().put(entry_number(28)) == PutResult::full);
    for (std::uint64_t n = 20; n < 28; ++n)
        CHECK(take(raw.ring()) == entry_number(n));
}

TEST_CASE(
    "an entry that was settled by a consumer which died before it moved head is offered again") {
    RawRing<8> raw;
    for (std::uint16_t i = 0; i < 3; ++i)
        REQUIRE(raw.ring().put({i, 0}) == PutResult::done);
    const auto first = raw.ring().peek(); // its taker dies here
    const auto again = raw.ring().peek();
    REQUIRE(again);
    CHECK(again->position == first->position);
    CHECK(again->entry == first->entry);
    CHECK(raw.ring().advance(again->position));
    CHECK(!raw.ring().advance(first->position)); // should it have been stopped only
    CHECK(take(raw.ring()) == Entry{1, 0});
}

TEST_CASE("a batch is looked at in place and taken by one step") {
    RawRing<8> raw;
    for (std::uint64_t n = 0; n < 6; ++n) // so that the batch below goes over the end
        REQUIRE(
            (raw.ring().put(entry_number(n)) == PutResult::done && take(raw.ring()).has_value()));
    for (std::uint64_t n = 6; n < 11; ++n)
        REQUIRE(raw.ring().put(entry_number(n)) == PutResult::done);
    const auto front = raw.ring().peek();
    for (std::size_t behind = 0; behind < 5; ++behind)
        CHECK(raw.ring().peek_behind(front->position, behind) == entry_number(6 + behind));
    CHECK(!raw.ring().peek_behind(front->position, 5));
    CHECK(!raw.ring().peek_behind(front->position, 7));
    CHECK(raw.ring().advance(front->position, 5));
    CHECK(!raw.ring().peek());
}

TEST_CASE("laps count past what their field holds") {
    RawRing<8> raw;
    constexpr std::uint64_t last_lap = (std::uint64_t{1} << 24) - 1;
    const std::uint64_t start = (last_lap - 2) * 8; // as if so many had come and gone
    raw.set_word(raw.head, start);
    raw.set_word(raw.tail, start);
    for (std::uint64_t i = 0; i < 8; ++i)
        raw.fill_by_hand(start - 8 + i, {9, 9});
    std::uint64_t put = 0, taken = 0;
    while (put < 100) {
        while (raw.ring().put(entry_number(put)) == PutResult::done)
            ++put;
        REQUIRE(put == taken + 8);
        for (int i = 0; i < 5; ++i)
            REQUIRE(take(raw.ring()) == entry_number(taken++));
    }
}

// A consumer settles by claiming in a table, as tasks are claimed: an entry may be seen by several, one wins.
TEST_CASE("many producers and consumers lose nothing and invent nothing") {
    constexpr std::size_t cells = 64, entries = 20'000;
    constexpr unsigned producers = 3, consumers = 3;
    RawRing<cells> raw;
    IndexRing<cells>& ring = raw.ring();
    std::vector<std::atomic<int>> claims(entries);
    std::atomic<std::size_t> next{0}, claimed{0};
    std::vector<std::thread> threads;
    for (unsigned p = 0; p < producers; ++p)
        threads.emplace_back([&, p] {
            IndexRing<cells>::ProducerHint hint;
            for (std::size_t n; (n = next.fetch_add(1)) < entries;)
                while ((p == 0 ? ring.put(entry_number(n)) : ring.put(entry_number(n), hint)) ==
                       PutResult::full)
                    std::this_thread::yield();
        });
    for (unsigned c = 0; c < consumers; ++c)
        threads.emplace_back([&] {
            while (claimed < entries) {
                const auto front = ring.peek();
                if (!front) {
                    std::this_thread::yield();
                    continue;
                }
                const std::size_t n =
                    std::size_t{front->entry.generation} << 16 | front->entry.index;
                int nobody = 0;
                if (n < entries && claims[n].compare_exchange_strong(nobody, 1))
                    ++claimed;
                ring.advance(front->position);
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(claimed == entries);
    for (const auto& one : claims)
        REQUIRE(one == 1);
    CHECK(!ring.peek());
}
