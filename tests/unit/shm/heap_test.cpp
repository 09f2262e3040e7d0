#include "catch.hpp"

#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>
#include <vector>

#include "dshm/shm/heap.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::SharedMemoryExhausted;
using dshm::test::contains;
using dshm::test::make_segment;

namespace {

constexpr Owner me{2, 1};
constexpr Owner other{3, 1};
constexpr Tag mine = Tag::own(me);
constexpr std::size_t mebibyte = std::size_t{1} << 20;

bool is_zero(const Segment& segment, Block block) {
    const std::byte* const bytes = segment.at<std::byte>(block.offset);
    return bytes[0] == std::byte{0} && std::memcmp(bytes, bytes + 1, block.size - 1) == 0;
}

// Nothing is in use, nothing half done, and every byte is accounted for.
void check_all_free(Heap& heap) {
    const HeapStatistics count = heap.statistics();
    CHECK(count.accounted() == count.opened);
    CHECK(count.blocks_in_use == 0);
    CHECK(count.used_small + count.used_large == 0);
    CHECK(count.unfinished == 0);
}

} // namespace

TEST_CASE("blocks are aligned, large enough, apart, and keep what is written") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    std::mt19937 random(1);
    std::vector<std::pair<Block, unsigned char>> blocks;
    for (int i = 0; i < 2000; ++i) {
        const std::size_t bytes = random() % (i % 50 == 0 ? 300'000 : 5000);
        const Block block = heap.allocate(bytes, mine);
        REQUIRE(block.size >= bytes);
        REQUIRE(block.offset % 64 == 0);
        REQUIRE(segment.contains(block.offset, block.size));
        REQUIRE(heap.tag_of(block.offset) == mine);
        const auto pattern = static_cast<unsigned char>(i * 7 + 1);
        std::memset(segment.at<void>(block.offset), pattern, block.size);
        blocks.emplace_back(block, pattern);
    }
    for (const auto& [block, pattern] : blocks) {
        const auto* const bytes = segment.at<unsigned char>(block.offset);
        REQUIRE(bytes[0] == pattern);
        REQUIRE(std::memcmp(bytes, bytes + 1, block.size - 1) == 0);
        REQUIRE(heap.free(block.offset, mine));
    }
    check_all_free(heap);
}

TEST_CASE("a block is freed once, and only under its tag") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    for (const std::size_t bytes : {std::size_t{100}, std::size_t{30'000}, mebibyte}) {
        const Block block = heap.allocate(bytes, Tag::argument(7, 3));
        CHECK_FALSE(heap.free(block.offset, mine));
        CHECK_FALSE(heap.free(block.offset, Tag::argument(7, 2)));
        CHECK_FALSE(heap.free(block.offset, Tag{}));
        CHECK_FALSE(heap.retag(block.offset, Tag::result(7, 3), mine));
        CHECK(heap.retag(block.offset, Tag::argument(7, 3), Tag::result(7, 3)));
        CHECK(heap.tag_of(block.offset) == Tag::result(7, 3));
        CHECK_FALSE(heap.free(block.offset, Tag::argument(7, 3)));
        CHECK(heap.free(block.offset, Tag::result(7, 3)));
        CHECK_FALSE(heap.free(block.offset, Tag::result(7, 3)));
        CHECK_FALSE(heap.retag(block.offset, Tag::result(7, 3), mine));
    }
    check_all_free(heap);
}

TEST_CASE("what is no block is refused") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    const Block small = heap.allocate(1000, mine);
    const Block large = heap.allocate(mebibyte, mine);
    const Offset wrong[] = {0,
                            1,
                            small.offset + 1,
                            small.offset + 64,
                            small.offset / chunk_size * chunk_size,
                            small.offset / chunk_size * chunk_size + 65'535,
                            large.offset + 64,
                            large.offset + chunk_size,
                            segment.geometry().heap - 64,
                            segment.geometry().capacity - chunk_size,
                            segment.geometry().capacity,
                            ~Offset{0}};
    for (const Offset offset : wrong) {
        CAPTURE(offset);
        CHECK_FALSE(heap.free(offset, mine));
        CHECK_FALSE(heap.retag(offset, mine, Tag::own(other)));
        CHECK(heap.tag_of(offset) == Tag{});
    }
    CHECK(heap.free(small.offset, mine));
    CHECK(heap.free(large.offset, mine));
}

TEST_CASE("zeroed blocks are zero, used before or not") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    for (const std::size_t bytes : {std::size_t{1}, std::size_t{3000}, std::size_t{200'000}}) {
        const Block fresh = heap.allocate_zeroed(bytes, mine);
        CHECK(is_zero(segment, fresh));
        std::memset(segment.at<void>(fresh.offset), 0xff, fresh.size);
        heap.free(fresh.offset, mine);
        const Block warm = heap.allocate_zeroed(bytes, mine);
        CHECK(is_zero(segment, warm));
        std::memset(segment.at<void>(warm.offset), 0xff, warm.size);
        heap.free(warm.offset, mine);
        heap.trim();
        const Block cold = heap.allocate_zeroed(bytes, mine);
        CHECK(is_zero(segment, cold));
        heap.free(cold.offset, mine);
    }
}

TEST_CASE("freed memory is used again") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    const auto sizes = {std::size_t{64}, std::size_t{5000}, mebibyte, 5 * mebibyte};
    for (const std::size_t bytes : sizes)
        heap.free(heap.allocate(bytes, mine).offset, mine);
    const std::size_t opened = heap.statistics().opened;
    for (int round = 0; round < 1000; ++round)
        for (const std::size_t bytes : sizes)
            REQUIRE(heap.free(heap.allocate(bytes, mine).offset, mine));
    CHECK(heap.statistics().opened == opened);
    SECTION("and so is memory that was given back") {
        for (int round = 0; round < 20; ++round) {
            heap.trim();
            for (const std::size_t bytes : sizes)
                REQUIRE(heap.free(heap.allocate(bytes, mine).offset, mine));
        }
        CHECK(heap.statistics().opened <= 2 * opened);
    }
}

TEST_CASE("a process that only allocates and one that only frees recycle the same memory") {
    Segment segment = make_segment();
    Heap master(segment, me);
    Heap worker(segment, other);
    std::size_t opened = 0;
    for (int round = 0; round < 200; ++round) {
        std::vector<Offset> blocks;
        for (int i = 0; i < 500; ++i)
            blocks.push_back(master.allocate(200, Tag::argument(1, 1)).offset);
        for (int i = 0; i < 10; ++i)
            blocks.push_back(master.allocate(mebibyte / 2, Tag::argument(1, 1)).offset);
        for (const Offset block : blocks)
            REQUIRE(worker.free(block, Tag::argument(1, 1)));
        if (round == 20)
            opened = master.statistics().opened;
    }
    CHECK(master.statistics().opened == opened);
    check_all_free(master);
}

TEST_CASE("a burst's memory goes back") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    std::vector<Offset> blocks;
    for (int i = 0; i < 100'000; ++i)
        blocks.push_back(heap.allocate(192, mine).offset);
    const std::size_t burst = heap.statistics().opened;
    SECTION("when its process frees it") {
        for (const Offset block : blocks)
            heap.free(block, mine);
        CHECK(heap.statistics().free_chunks > burst / 2);
    }
    SECTION("when another frees it and its process allocates on") {
        Heap worker(segment, other);
        for (const Offset block : blocks)
            worker.free(block, mine);
        for (int i = 0; i < 100'000; ++i)
            heap.free(heap.allocate(192, Tag::argument(1, 1)).offset, Tag::argument(1, 1));
        heap.trim();
        CHECK(heap.statistics().free_chunks == burst);
    }
    heap.trim();
    CHECK(heap.statistics().free_small == 0);
    check_all_free(heap);
}

TEST_CASE("an exhausted heap says so, loses nothing and goes on") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    const std::size_t capacity = heap.statistics().capacity;
    REQUIRE_THROWS_AS(heap.allocate(capacity + 1, mine), SharedMemoryExhausted);
    REQUIRE_THROWS_AS(heap.allocate(~std::size_t{0}, mine), SharedMemoryExhausted);
    std::vector<Offset> blocks;
    try {
        for (;;)
            blocks.push_back(heap.allocate(3 * mebibyte, mine).offset);
    } catch (const SharedMemoryExhausted& error) {
        CHECK(error.asked() == 3 * mebibyte);
        CHECK(error.left() < 3 * mebibyte);
        CHECK_THAT(error.what(), contains("asked for 3072 KiB"));
        CHECK_THAT(error.what(), contains("DSHM_CAPACITY"));
    }
    CHECK(blocks.size() == capacity / (3 * mebibyte));
    try {
        for (;;)
            blocks.push_back(heap.allocate(1000, mine).offset);
    } catch (const SharedMemoryExhausted& error) {
        CHECK(error.left() == 0);
    }
    for (const Offset block : blocks)
        REQUIRE(heap.free(block, mine));
    check_all_free(heap);
    // Once the spare chunks of small blocks are given back, the whole heap is had in one piece,
    // though another process asks and this one still keeps runs warm.
    Heap second(segment, other);
    heap.free(heap.allocate(3 * mebibyte, mine).offset, mine);
    CHECK(heap.statistics().warm > 0);
    CHECK_THROWS_AS(second.allocate(capacity, Tag::own(other)), SharedMemoryExhausted);
    heap.trim();
    const Block all = second.allocate(capacity, Tag::own(other));
    CHECK(all.size == capacity);
    CHECK(second.free(all.offset, Tag::own(other)));
    check_all_free(second);
}

TEST_CASE("a full heap still finds what others freed among its own blocks") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    Heap worker(segment, other);
    std::vector<Offset> blocks;
    try {
        for (;;)
            blocks.push_back(heap.allocate(4000, Tag::argument(1, 1)).offset);
    } catch (const SharedMemoryExhausted&) {
    }
    for (std::size_t i = 0; i < blocks.size(); i += 100)
        REQUIRE(worker.free(blocks[i], Tag::argument(1, 1)));
    for (std::size_t i = 0; i < blocks.size(); i += 100)
        CHECK_NOTHROW(heap.allocate(4000, Tag::argument(1, 1)));
    CHECK_THROWS_AS(heap.allocate(4000, Tag::argument(1, 1)), SharedMemoryExhausted);
}

TEST_CASE("sweeping frees what its task no longer wants, and nothing else") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    std::map<Offset, Tag> blocks;
    for (std::uint32_t task = 0; task < 20; ++task)
        for (const std::size_t bytes : {std::size_t{100}, std::size_t{100'000}})
            for (const Tag tag :
                 {mine, Tag::argument(task, 1), Tag::result(task, 1), Tag::object(task, 1)})
                blocks[heap.allocate(bytes, tag).offset] = tag;
    Heap launcher(segment, Owner{1, 1});
    std::size_t asked = 0;
    const std::size_t freed = launcher.sweep_handed_over([&](Tag tag) {
        ++asked;
        return tag.kind() == TagKind::object || tag.index() % 2 == 0;
    });
    CHECK(asked == 120);
    CHECK(freed == 40);
    for (const auto& [offset, tag] : blocks) {
        const bool gone =
            tag.handed_over() && tag.kind() != TagKind::object && tag.index() % 2 != 0;
        CHECK(heap.free(offset, tag) == !gone);
    }
    check_all_free(heap);
}

TEST_CASE("random work from four processes' handles ends with every byte accounted for") {
    Segment segment = make_segment();
    std::vector<std::unique_ptr<Heap>> heaps;
    for (std::uint8_t slot = 2; slot < 6; ++slot)
        heaps.push_back(std::make_unique<Heap>(segment, Owner{slot, 1}));
    std::mt19937 random(7);
    std::vector<std::pair<Offset, Tag>> blocks;
    std::set<Offset> offsets;
    for (std::uint32_t i = 0; i < 200'000; ++i) {
        Heap& heap = *heaps[random() % heaps.size()];
        if (blocks.size() < 300 && random() % 2 == 0) {
            const Tag tag = Tag::argument(i % max_tasks, i);
            const std::size_t bytes = random() % (random() % 30 == 0 ? 400'000 : 2000);
            blocks.emplace_back(heap.allocate(bytes, tag).offset, tag);
            REQUIRE(offsets.insert(blocks.back().first).second);
        } else if (!blocks.empty()) {
            std::swap(blocks[random() % blocks.size()], blocks.back());
            REQUIRE(heap.free(blocks.back().first, blocks.back().second));
            offsets.erase(blocks.back().first);
            blocks.pop_back();
        }
        if (random() % 5000 == 0)
            heap.trim();
    }
    for (const auto& [offset, tag] : blocks)
        REQUIRE(heaps[0]->free(offset, tag));
    for (auto& heap : heaps)
        heap->trim();
    check_all_free(*heaps[0]);
    CHECK(heaps[0]->statistics().free_small == 0);
    CHECK(heaps[0]->statistics().warm == 0);
}

TEST_CASE("threads share one process's heap", "[threads]") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (unsigned seed = 0; seed < 4; ++seed)
        threads.emplace_back([&, seed] {
            std::mt19937 random(seed);
            const Tag tag = Tag::argument(seed, seed);
            std::vector<Block> blocks;
            for (int i = 0; i < 20'000; ++i) {
                if (blocks.size() < 50 && random() % 2 == 0) {
                    const std::size_t bytes = random() % (random() % 50 == 0 ? 200'000 : 2000);
                    blocks.push_back(heap.allocate(bytes, tag));
                    *segment.at<unsigned>(blocks.back().offset) = seed;
                } else if (!blocks.empty()) {
                    std::swap(blocks[random() % blocks.size()], blocks.back());
                    wrong += *segment.at<unsigned>(blocks.back().offset) != seed;
                    wrong += !heap.free(blocks.back().offset, tag);
                    blocks.pop_back();
                }
                if (random() % 2000 == 0)
                    heap.trim();
            }
            for (const Block& block : blocks)
                wrong += !heap.free(block.offset, tag);
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
    check_all_free(heap);
}

TEST_CASE("processes, played by threads, hand blocks to each other", "[threads]") {
    Segment segment = make_segment();
    constexpr unsigned players = 3;
    std::array<std::atomic<Offset>, 16> mailbox{};
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (unsigned player = 0; player < players; ++player)
        threads.emplace_back([&, player] {
            Heap heap(segment, Owner{static_cast<std::uint8_t>(2 + player), 1});
            std::mt19937 random(player);
            for (int i = 0; i < 20'000; ++i) {
                const std::size_t bytes = random() % (random() % 40 == 0 ? 200'000 : 3000) + 8;
                const Offset block = heap.allocate(bytes, Tag::argument(1, 1)).offset;
                *segment.at<Offset>(block) = block;
                const Offset taken =
                    mailbox[random() % mailbox.size()].exchange(block, std::memory_order_acq_rel);
                if (taken == 0)
                    continue;
                wrong += *segment.at<Offset>(taken) != taken;
                wrong += !heap.free(taken, Tag::argument(1, 1));
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
    Heap heap(segment, Owner{9, 1});
    for (const auto& box : mailbox)
        if (box != 0)
            CHECK(heap.free(box, Tag::argument(1, 1)));
    check_all_free(heap);
}
