// Memory that is free goes back to the system, and comes again as zeros.
#include "catch.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include "child_process.hpp"
#include "dshm/shm/heap.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::test::demand;
using dshm::test::make_segment;

namespace {

constexpr Owner launcher_itself{1, 1};
constexpr Owner me{2, 1};
constexpr Owner neighbour{6, 1};
constexpr Owner dead{5, 3};
constexpr Tag mine = Tag::own(me);
constexpr std::size_t mebibyte = std::size_t{1} << 20;

// What the file system says that the segment has.
std::size_t pages_of(const Segment& segment) {
    struct stat info {};
    REQUIRE(fstat(segment.file(), &info) == 0);
    return static_cast<std::size_t>(info.st_blocks) * 512;
}

void soil(const Segment& segment, Block block) {
    std::memset(segment.at<void>(block.offset), 0xd5, block.size);
}

bool reads_as_zeros(const Segment& segment, Block block) {
    const auto* const bytes = segment.at<unsigned char>(block.offset);
    return std::all_of(bytes, bytes + block.size, [](unsigned char byte) { return byte == 0; });
}

// Chunks of a process that died, in the state that giving back has while it is at them.
struct HalfGivenBack {
    Segment segment = make_segment();
    Heap heap{segment, me};
    Heap launcher{segment, launcher_itself};
    ChunkTable table{segment, launcher_itself};
    Backing backing = segment.backing();
    Chunk first = 0;
    static constexpr std::uint64_t length = 4;

    explicit HalfGivenBack(ChunkState state) {
        const Block block = heap.allocate(length * chunk_size, mine);
        if (!state.pristine())
            soil(segment, block);
        first = table.chunk_of(block.offset);
        heap.free(block.offset, mine);
        heap.trim();
        for (Chunk chunk = first; chunk < first + length; ++chunk)
            table.set_state(chunk, state);
    }
    Offset in_file() const { return table.offset_of(first) / chunk_size; }
    void check() {
        for (int i = 0; i < 2; ++i) {
            launcher.recover(dead);
            const HeapStatistics count = launcher.statistics();
            CHECK(count.accounted() == count.opened);
            CHECK(count.unfinished == 0);
        }
        const Block again = heap.allocate_zeroed(length * chunk_size, mine);
        CHECK(table.chunk_of(again.offset) == first);
        CHECK(reads_as_zeros(segment, again));
        CHECK(backing.backed_bytes(in_file(), length) == length * chunk_size);
        CHECK(heap.free(again.offset, mine));
        heap.give_back();
        CHECK(launcher.statistics().clean_chunks == launcher.statistics().opened);
    }
};

} // namespace

TEST_CASE("what is free goes back, what is used stays") {
    Segment segment = make_segment(512 * mebibyte);
    Heap heap(segment, me);
    const std::size_t before = pages_of(segment);
    const Block kept = heap.allocate(mebibyte, mine);
    soil(segment, kept);
    std::vector<Block> blocks;
    for (int i = 0; i < 200; ++i) {
        blocks.push_back(heap.allocate(i % 3 == 0 ? 200'000 : 3000, mine));
        soil(segment, blocks.back());
    }
    blocks.push_back(heap.allocate(80 * mebibyte, mine)); // more than is kept warm
    CHECK(heap.give_back() == 0);
    for (const Block& block : blocks)
        heap.free(block.offset, mine);
    CHECK(heap.statistics().warm > 0);
    CHECK(pages_of(segment) > before + 90 * mebibyte);

    CHECK(heap.give_back() > 90 * mebibyte);
    CHECK(pages_of(segment) <= before + kept.size + chunk_size); // a chunk of the table
    const HeapStatistics count = heap.statistics();
    CHECK(count.accounted() == count.opened);
    CHECK(count.warm + count.free_chunks + count.free_small == 0);
    CHECK(count.used_large == kept.size);
    CHECK(segment.at<unsigned char>(kept.offset)[kept.size - 1] == 0xd5);

    const Block again = heap.allocate_zeroed(80 * mebibyte, mine);
    CHECK(reads_as_zeros(segment, again));
}

TEST_CASE("what others keep warm goes back too, and what dead ones left") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    Heap other(segment, neighbour);
    Heap victim(segment, dead);
    Heap launcher(segment, launcher_itself);
    other.free(other.allocate(3 * mebibyte, Tag::own(neighbour)).offset, Tag::own(neighbour));
    const Block orphan = victim.allocate(100, mine);
    launcher.recover(dead);
    CHECK(heap.statistics().orphaned_chunks == 1);
    CHECK(heap.give_back() == 3 * mebibyte);
    CHECK(heap.free(orphan.offset, mine));
    CHECK(heap.give_back() == chunk_size);
    CHECK(heap.statistics().orphaned_chunks == 0);
    // The neighbour's hint of its warm run is wrong by now, and harms nothing.
    const Block again = other.allocate(3 * mebibyte, Tag::own(neighbour));
    soil(segment, again);
}

TEST_CASE("died while giving back, at any step") {
    SECTION("after the claim") { HalfGivenBack(ChunkState::part(dead)).check(); }
    SECTION("after the claim of chunks that were never used") {
        HalfGivenBack(ChunkState::pristine_part(dead)).check();
    }
    SECTION("after half of the bits, and no hole") {
        HalfGivenBack scene(ChunkState::part(dead));
        // A hole of nothing: the bits alone go.
        Backing(scene.segment.base(), scene.segment.geometry(), -1)
            .give_back(scene.in_file(), scene.length / 2);
        CHECK(scene.backing.backed_bytes(scene.in_file(), scene.length) == 2 * chunk_size);
        scene.check();
    }
    SECTION("after the hole") {
        HalfGivenBack scene(ChunkState::part(dead));
        CHECK(scene.backing.give_back(scene.in_file(), scene.length));
        scene.check();
    }
    SECTION("after half of the chunks were given back") {
        HalfGivenBack scene(ChunkState::part(dead));
        CHECK(scene.backing.give_back(scene.in_file(), scene.length));
        scene.table.set_state(scene.first, ChunkState::clean());
        scene.table.set_state(scene.first + 1, ChunkState::clean());
        scene.check();
    }
}

TEST_CASE("pages stay while somebody reads tags, and a dead reader is forgotten") {
    Segment segment = make_segment();
    Heap heap(segment, me);
    Heap launcher(segment, launcher_itself);
    heap.free(heap.allocate(mebibyte, mine).offset, mine);
    segment.header().tag_readers.set(dead.slot, std::memory_order_seq_cst);
    CHECK(heap.give_back() == 0);
    CHECK(heap.statistics().free_chunks == mebibyte);
    launcher.recover(dead);
    CHECK(heap.give_back() == mebibyte);
}

TEST_CASE("others allocate in the same extents while pages go back") {
    Segment segment = make_segment();
    std::atomic<bool> stop{false};
    std::thread trimmer([&] {
        Heap heap(segment, me);
        while (!stop)
            heap.give_back();
    });
    Heap heap(segment, neighbour);
    const Tag tag = Tag::own(neighbour);
    bool intact = true;
    for (int round = 0; round < 300; ++round) {
        std::vector<Block> blocks;
        for (int i = 0; i < 20; ++i) {
            const std::size_t bytes =
                i % 2 == 0 ? 70'000 + 9000u * static_cast<unsigned>(i) : 30'000;
            blocks.push_back(heap.allocate_zeroed(bytes, tag));
            intact = intact && reads_as_zeros(segment, blocks.back());
            soil(segment, blocks.back());
        }
        for (const Block& block : blocks) {
            const auto* const bytes = segment.at<unsigned char>(block.offset);
            intact = intact && std::all_of(bytes, bytes + block.size,
                                           [](unsigned char byte) { return byte == 0xd5; });
            heap.free(block.offset, tag);
        }
    }
    stop = true;
    trimmer.join();
    CHECK(intact);
    heap.give_back();
    CHECK(heap.statistics().accounted() == heap.statistics().opened);
}
