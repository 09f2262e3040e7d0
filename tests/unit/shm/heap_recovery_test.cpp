// Half-finished states of the heap, put into memory by hand as a process would leave them that is
// killed right there. Each test names the step; after `recover`, and again after a second one,
// nothing may be missing.
#include "catch.hpp"

#include <cstring>
#include <memory>
#include <vector>

#include "dshm/shm/heap.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::test::make_segment;

namespace {

constexpr Owner launcher_itself{1, 1};
constexpr Owner dead{5, 3};
constexpr Owner neighbour{6, 1};
constexpr Owner successor{5, 4}; // the next one in the dead process's slot
constexpr Tag of_dead = Tag::own(dead);
constexpr Tag of_neighbour = Tag::own(neighbour);
constexpr std::size_t three_chunks = 3 * chunk_size;

struct Scene {
    Segment segment = make_segment();
    Heap launcher{segment, launcher_itself};
    Heap victim{segment, dead};
    Heap alive{segment, neighbour};
    ChunkTable table{segment, launcher_itself};

    Chunk chunk_of(Offset block) const { return table.chunk_of(block); }
    // A run of the victim's, as it is after the commit.
    Chunk committed_run(Tag tag = of_dead) {
        return chunk_of(victim.allocate(three_chunks, tag).offset);
    }
    // Chunks of the victim's that never were anything else.
    Chunk opened_chunks(std::uint64_t length) {
        const auto claim = *ChunkTable(segment, dead).find({length, {}});
        return claim.run.first;
    }
    void recover() {
        launcher.recover(dead);
        check_account();
        launcher.recover(dead); // may come again
        check_account();
    }
    void check_account() const {
        const HeapStatistics count = launcher.statistics();
        CHECK(count.accounted() == count.opened);
        CHECK(count.unfinished == 0);
    }
    // Everything that is not the neighbour's can be had again, in one piece.
    void check_all_usable() {
        alive.trim();
        check_account();
        CHECK(launcher.statistics().blocks_in_use == 0);
        REQUIRE(table.available() == table.capacity());
        const Block all = alive.allocate(table.capacity() * chunk_size, of_neighbour);
        CHECK(alive.free(all.offset, of_neighbour));
    }
};

} // namespace

TEST_CASE("died while claiming a run: its chunks are as they were") {
    Scene scene;
    const Chunk first = scene.opened_chunks(4);
    scene.table.set_state(first + 1, ChunkState::free()); // one that was used before
    scene.table.set_state(first + 1, ChunkState::part(dead));
    scene.table.set_state(first + 3, ChunkState::clean()); // not reached yet
    scene.recover();
    CHECK(scene.table.state(first) == ChunkState::clean());
    CHECK(scene.table.state(first + 1) == ChunkState::free());
    CHECK(scene.table.state(first + 2) == ChunkState::clean());
    scene.check_all_usable();
}

TEST_CASE("died after tagging a run, before its commit") {
    Scene scene;
    const Chunk first = scene.opened_chunks(3);
    SECTION("as its own") { scene.table.set_run_tag(first, of_dead); }
    SECTION("for a task") { scene.table.set_run_tag(first, Tag::argument(1, 1)); }
    CHECK(scene.alive.tag_of(scene.table.offset_of(first)) == Tag{});
    CHECK_FALSE(scene.alive.free(scene.table.offset_of(first), Tag::argument(1, 1)));
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died with a run of its own") {
    Scene scene;
    scene.committed_run();
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died after handing a run over: the run is untouched until its new owner frees it") {
    Scene scene;
    const Chunk first = scene.committed_run(Tag::argument(9, 2));
    CHECK(scene.table.state(first + 1).owner() == dead);
    scene.recover();
    CHECK(scene.table.state(first) == ChunkState::head(3));
    CHECK(scene.launcher.statistics().blocks_in_use == 1);
    const Offset block = scene.table.offset_of(first);
    SECTION("the next process in the slot dies too") {
        scene.launcher.recover(successor);
        CHECK(scene.alive.free(block, Tag::argument(9, 2)));
    }
    SECTION("freed") { CHECK(scene.alive.free(block, Tag::argument(9, 2))); }
    SECTION("freed and given back") {
        CHECK(scene.alive.free(block, Tag::argument(9, 2)));
        scene.alive.trim();
    }
    SECTION("swept, since its task never came to be") {
        CHECK(scene.launcher.sweep_handed_over([](Tag) { return false; }) == 1);
    }
    scene.check_all_usable();
}

TEST_CASE("died between leaving a run's tag and keeping it warm") {
    Scene scene;
    const Chunk first = scene.committed_run();
    scene.table.set_run_tag(first, Tag::leaving(dead));
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died keeping a run warm") {
    Scene scene;
    const Chunk first = scene.committed_run();
    REQUIRE(scene.victim.free(scene.table.offset_of(first), of_dead));
    REQUIRE(scene.table.run_tag(first) == Tag::warm(dead, 3));
    SECTION("nobody took it") {}
    SECTION("a living process took it before") {
        REQUIRE(scene.table.change_run_tag(first, Tag::warm(dead, 3), of_neighbour));
        scene.launcher.recover(dead);
        CHECK(scene.alive.free(scene.table.offset_of(first), of_neighbour));
    }
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died while rewriting the tails of a run that it took apart") {
    Scene scene;
    const Chunk first =
        scene.chunk_of(scene.alive.allocate(three_chunks, Tag::result(4, 4)).offset);
    REQUIRE(scene.table.change_run_tag(first, Tag::result(4, 4), Tag::leaving(dead)));
    SECTION("none rewritten") {}
    SECTION("some rewritten") { scene.table.set_state(first + 1, ChunkState::part(dead)); }
    SECTION("all rewritten") {
        scene.table.set_state(first + 1, ChunkState::part(dead));
        scene.table.set_state(first + 2, ChunkState::part(dead));
    }
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died after the commit of taking a run apart, with neighbours claiming what is free") {
    Scene scene;
    const Chunk first = scene.committed_run();
    scene.table.set_run_tag(first, Tag::leaving(dead));
    for (Chunk chunk = first; chunk < first + 3; ++chunk)
        scene.table.set_state(chunk, ChunkState::part(dead));
    SECTION("nothing freed yet") {}
    SECTION("head freed") { scene.table.set_state(first, ChunkState::free()); }
    SECTION("head freed and claimed by a neighbour") {
        scene.table.set_state(first, ChunkState::part(neighbour));
        scene.launcher.recover(dead);
        CHECK(scene.table.state(first) == ChunkState::part(neighbour));
        scene.table.set_state(first, ChunkState::free());
    }
    SECTION("a neighbour's run ends at the next tail") {
        scene.table.set_state(first, ChunkState::free());
        scene.table.set_state(first + 1, ChunkState::free());
        scene.table.set_state(first, ChunkState::part(neighbour));
        scene.table.set_state(first + 1, ChunkState::part(neighbour));
        scene.table.set_run_tag(first, of_neighbour);
        scene.table.set_state(first, ChunkState::head(2));
        scene.launcher.recover(dead);
        CHECK(scene.table.state(first + 2) == ChunkState::free());
        CHECK(scene.alive.free(scene.table.offset_of(first), of_neighbour));
    }
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died after claiming a chunk for small blocks, before its tags were cleared") {
    Scene scene;
    const Chunk chunk = scene.opened_chunks(1);
    scene.table.set_state(chunk, ChunkState::part(dead)); // used before: full of anything
    scene.segment.backing().ensure(scene.table.offset_of(chunk), chunk_size);
    Word64* const words = scene.table.block_tags(chunk);
    for (int i = 0; i < 1000; ++i)
        words[i].store(of_dead.bits, std::memory_order_relaxed);
    scene.recover();
    CHECK(scene.table.state(chunk) == ChunkState::free());
    const Offset block = scene.alive.allocate(20'000, of_neighbour).offset;
    CHECK(scene.chunk_of(block) == chunk);
    CHECK(scene.alive.free(block, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("died with small blocks, some of them handed over") {
    Scene scene;
    std::vector<Offset> own, handed_over;
    for (std::uint32_t i = 0; i < 40; ++i) {
        own.push_back(scene.victim.allocate(1000, of_dead).offset);
        handed_over.push_back(scene.victim.allocate(1000, Tag::argument(i, 1)).offset);
    }
    const Chunk chunk = scene.chunk_of(own.front());
    scene.recover();
    for (const Offset block : own)
        CHECK(scene.launcher.tag_of(block) == Tag{});
    CHECK(scene.launcher.statistics().blocks_in_use == 40);
    CHECK(scene.table.state(chunk).kind() == ChunkKind::orphan);

    SECTION("the orphan is adopted by the next who wants such blocks") {
        const Offset block = scene.alive.allocate(1000, of_neighbour).offset;
        CHECK(scene.chunk_of(block) == chunk);
        CHECK(scene.table.state(chunk).owner() == neighbour);
        CHECK(scene.alive.free(block, of_neighbour));
    }
    SECTION("and by the successor in the slot, whose death is another one") {
        Heap next(scene.segment, successor);
        next.allocate(1000, Tag::own(successor));
        scene.launcher.recover(dead);
        CHECK(scene.launcher.statistics().blocks_in_use == 41);
        scene.launcher.recover(successor);
        CHECK(scene.launcher.statistics().blocks_in_use == 40);
    }
    SECTION("the orphan goes back at the next death once it is empty") {}

    for (std::uint32_t i = 0; i < 40; ++i)
        CHECK(scene.alive.free(handed_over[i], Tag::argument(i, 1)));
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("an empty orphan gives way when the heap is full") {
    Scene scene;
    const Offset block = scene.victim.allocate(1000, Tag::argument(1, 1)).offset;
    scene.recover();
    CHECK(scene.launcher.statistics().orphaned_chunks == 1);
    CHECK(scene.alive.free(block, Tag::argument(1, 1)));
    const std::size_t everything = scene.table.capacity() * chunk_size;
    const Offset all = scene.alive.allocate(everything, of_neighbour).offset;
    CHECK(scene.alive.free(all, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("a sweep frees nothing that a process owns") {
    Scene scene;
    const Offset small = scene.alive.allocate(1000, of_neighbour).offset;
    const Offset large = scene.alive.allocate(three_chunks, of_neighbour).offset;
    CHECK(scene.launcher.sweep_handed_over([](Tag) { return false; }) == 0);
    CHECK(scene.alive.free(small, of_neighbour));
    CHECK(scene.alive.free(large, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("an orphan goes back with the last block that is swept") {
    Scene scene;
    scene.victim.allocate(1000, Tag::argument(1, 1));
    scene.recover();
    CHECK(scene.launcher.statistics().orphaned_chunks == 1);
    CHECK(scene.launcher.sweep_handed_over([](Tag) { return false; }) == 1);
    CHECK(scene.launcher.statistics().orphaned_chunks == 0);
    scene.check_all_usable();
}

TEST_CASE("died while giving an empty chunk back, or adopting one") {
    Scene scene;
    const Offset block = scene.victim.allocate(1000, Tag::argument(1, 1)).offset;
    const Chunk chunk = scene.chunk_of(block);
    const unsigned size_class = scene.table.state(chunk).size_class();
    SECTION("adopted, nothing listed yet") {
        scene.table.set_state(chunk, ChunkState::orphan(size_class));
        REQUIRE(scene.table.change_state(chunk, ChunkState::orphan(size_class),
                                         ChunkState::small(size_class, dead)));
        scene.recover();
        CHECK(scene.table.state(chunk) == ChunkState::orphan(size_class));
        CHECK(scene.alive.free(block, Tag::argument(1, 1)));
    }
    SECTION("all free, still its own") { CHECK(scene.alive.free(block, Tag::argument(1, 1))); }
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("died with blocks of its own in the chunks of others") {
    Scene scene;
    std::vector<Offset> taken, kept;
    for (std::uint32_t i = 0; i < 10; ++i) {
        taken.push_back(scene.alive.allocate(500, Tag::argument(i, 1)).offset);
        kept.push_back(scene.alive.allocate(500, of_neighbour).offset);
        REQUIRE(scene.victim.retag(taken.back(), Tag::argument(i, 1), of_dead));
    }
    const Offset run = scene.alive.allocate(three_chunks, Tag::argument(99, 1)).offset;
    REQUIRE(scene.victim.retag(run, Tag::argument(99, 1), of_dead));
    scene.recover();
    CHECK(scene.launcher.tag_of(run) == Tag{});
    for (const Offset block : taken)
        CHECK(scene.launcher.tag_of(block) == Tag{});
    for (const Offset block : kept)
        CHECK(scene.alive.free(block, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("died after raising the top, before any claim") {
    Scene scene;
    scene.opened_chunks(5);
    const Chunk top = scene.table.top();
    for (Chunk chunk = top - 5; chunk < top; ++chunk)
        scene.table.set_state(chunk, ChunkState::clean());
    scene.recover();
    const Offset run = scene.alive.allocate(5 * chunk_size, of_neighbour).offset;
    CHECK(scene.table.top() == top); // the chunks below it are found
    CHECK(scene.alive.free(run, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("pristine chunks of a dead claimer read as zeros, others are not trusted to") {
    Scene scene;
    const Chunk first = scene.opened_chunks(3);
    scene.segment.backing().ensure(scene.table.offset_of(first), three_chunks);
    scene.table.set_state(first + 1, ChunkState::part(dead));
    std::memset(scene.table.address_of(first + 1), 0xff, chunk_size);
    scene.recover();
    const Block run = scene.alive.allocate_zeroed(three_chunks, of_neighbour);
    CHECK(scene.chunk_of(run.offset) == first);
    const std::byte* const bytes = scene.segment.at<std::byte>(run.offset);
    CHECK(bytes[0] == std::byte{0});
    CHECK(std::memcmp(bytes, bytes + 1, run.size - 1) == 0);
    CHECK(scene.alive.free(run.offset, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("a recovery that was stopped in the middle of a run starts again") {
    Scene scene;
    const Chunk first = scene.committed_run();
    // What recover_run does, stopped after each of its steps.
    const int steps = GENERATE(1, 2, 3, 4, 5);
    scene.table.set_run_tag(first, Tag::leaving(dead));
    for (Chunk tail = 1; tail <= 2 && steps > static_cast<int>(tail); ++tail)
        scene.table.set_state(first + tail, ChunkState::part(dead));
    if (steps > 3)
        scene.table.set_state(first, ChunkState::part(dead));
    if (steps > 4)
        scene.table.set_state(first, ChunkState::free());
    scene.recover();
    scene.check_all_usable();
}

TEST_CASE("the living lose nothing by a recovery") {
    Scene scene;
    std::vector<Offset> blocks;
    for (int i = 0; i < 200; ++i) {
        blocks.push_back(scene.alive.allocate(700, of_neighbour).offset);
        scene.victim.allocate(700, of_dead);
        if (i % 10 == 0) {
            blocks.push_back(scene.alive.allocate(three_chunks, of_neighbour).offset);
            scene.victim.allocate(three_chunks, of_dead);
        }
    }
    const Offset warm = scene.alive.allocate(2 * three_chunks, of_neighbour).offset;
    scene.alive.free(warm, of_neighbour);
    scene.recover();
    CHECK(scene.table.run_tag(scene.chunk_of(warm)) == Tag::warm(neighbour, 6));
    for (const Offset block : blocks)
        CHECK(scene.alive.free(block, of_neighbour));
    scene.check_all_usable();
}

TEST_CASE("damaged records are stepped over, not followed") {
    Scene scene;
    const Chunk first = scene.opened_chunks(4);
    scene.table.set_state(first, ChunkState::head(1'000'000));
    scene.table.set_run_tag(first, of_dead);
    const Offset block = scene.table.offset_of(first);
    CHECK_FALSE(scene.alive.free(block, of_dead));
    CHECK(scene.alive.tag_of(block) == Tag{});
    scene.launcher.recover(dead); // ends
    scene.table.set_state(first, ChunkState::small(200, dead));
    CHECK_FALSE(scene.alive.free(block + 4096, of_dead));
    CHECK(scene.alive.tag_of(block + 4096) == Tag{});
    scene.launcher.recover(dead);
    scene.table.set_state(first, ChunkState{0x77});
    CHECK(scene.alive.tag_of(block) == Tag{});
    CHECK_NOTHROW(scene.launcher.statistics());
}
