// A process that runs a scenario on the heap or the object table dies at its n-th touch of a shared
// word, for every n.
//
// Built with its own copies of the shm sources, in which each touch of a Word is a kill point
// (word.hpp). The victim is forked for each n; its parent, as the launcher, recovers and looks
// whether every byte is accounted for and every neighbour has what it had. All deaths of a scenario
// happen in one segment, so what one leaves behind the next ones meet. In a second round the
// recovery itself is killed at some of its touches and started again.
#include "catch.hpp"

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <vector>

#include "child_process.hpp"
#include "dshm/shm/heap.hpp"
#include "dshm/shm/object_table.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::test::demand;
using dshm::test::make_segment;
using dshm::test::run_in_child;
using dshm::test::was_killed;

namespace {

constexpr Owner launcher_itself{1, 1};
constexpr Owner neighbour{6, 1};
constexpr Tag of_neighbour = Tag::own(neighbour);
constexpr std::uint8_t victim_slot = 5;
constexpr std::uint8_t ancestor_slot = 7; // of a process that dies with or before the victim

// The neighbour's objects and blocks, on which victims work and which they must not harm.
struct Stage {
    Segment segment = make_segment();
    Heap launcher{segment, launcher_itself};
    ObjectTable launcher_objects{segment, launcher, launcher_itself};
    Heap alive{segment, neighbour};
    ObjectTable alive_objects{segment, alive, neighbour};
    std::vector<Offset> blocks;
    ObjectTable::Ref object;

    Stage() {
        for (const std::size_t bytes : {100, 20'000, 200'000})
            blocks.push_back(alive.allocate(bytes, of_neighbour).offset);
        object = alive_objects.create(3000, {});
    }
};

// What a victim sees.
struct Victim {
    Stage& stage;
    Owner me;
    std::uint64_t touch;
    Tag mine = Tag::own(me);
    Heap heap{stage.segment, me};
    ObjectTable objects{stage.segment, heap, me};

    // From here on every touch of a shared word may be the last.
    void start_dying() const { arm_crash_point(touch); }
};

using Scenario = void (*)(Victim&);

void recover(Stage& stage, Owner dead) {
    stage.launcher.recover(dead);
    stage.launcher_objects.recover(dead);
    stage.launcher.recover({ancestor_slot, dead.incarnation});
    stage.launcher.sweep_handed_over([](Tag tag) { return tag.kind() == TagKind::object; });
}

// The same after both recoveries in the other order and an interruption at the given touch.
void recover_interrupted(Stage& stage, Owner dead, std::uint64_t touch) {
    run_in_child([&] {
        arm_crash_point(touch);
        stage.launcher_objects.recover(dead);
        stage.launcher.recover(dead);
    });
    recover(stage, dead);
}

void check_neighbour(Stage& stage) {
    for (const Offset block : stage.blocks)
        REQUIRE(stage.alive.tag_of(block) == of_neighbour);
    REQUIRE(stage.alive_objects.is_live(stage.object));
    REQUIRE(stage.alive_objects.live_count() == 1);
}

void check_account(Stage& stage) {
    const HeapStatistics count = stage.launcher.statistics();
    REQUIRE(count.accounted() == count.opened);
    REQUIRE(count.unfinished == 0);
    REQUIRE(count.warm == 0);
    REQUIRE(count.blocks_in_use == stage.blocks.size() + 1);
}

void check_all_usable(Stage& stage) {
    for (const Offset block : stage.blocks)
        REQUIRE(stage.alive.free(block, of_neighbour));
    stage.alive_objects.release(stage.object);
    stage.alive.trim();
    stage.launcher.trim();
    const ChunkTable table(stage.segment, launcher_itself);
    REQUIRE(table.available() == table.capacity());
}

// Kills a victim of the scenario at touches first, first + step, ... until one survives. Gives the
// number of deaths.
std::uint64_t kill_everywhere(Stage& stage, Scenario scenario, std::uint64_t step,
                              const std::function<void(Owner, std::uint64_t)>& put_right) {
    std::uint16_t incarnation = 1;
    std::uint64_t deaths = 0;
    for (std::uint64_t touch = 1;; touch += step) {
        const Owner dead{victim_slot, incarnation++};
        const int status = run_in_child([&] {
            Victim victim{stage, dead, touch};
            scenario(victim);
        });
        CAPTURE(touch);
        put_right(dead, touch);
        check_neighbour(stage);
        check_account(stage);
        if (!was_killed(status)) {
            REQUIRE(dshm::test::left_well(status));
            return deaths;
        }
        ++deaths;
    }
}

void check_scenario(Scenario scenario, std::uint64_t step = 1) {
    Stage stage;
    const std::uint64_t deaths = kill_everywhere(
        stage, scenario, step, [&](Owner dead, std::uint64_t) { recover(stage, dead); });
    CHECK(deaths > 5);
    // Every third place, each with the recovery stopped somewhere else.
    kill_everywhere(stage, scenario, 3 * step, [&](Owner dead, std::uint64_t touch) {
        recover_interrupted(stage, dead, 1 + touch * 7 % 200);
    });
    check_all_usable(stage);
}

// ------------------------------------------------------------------------------------------------
// Scenarios
// ------------------------------------------------------------------------------------------------

void small_blocks(Victim& victim) {
    victim.start_dying();
    std::vector<Offset> blocks;
    for (int i = 0; i < 8; ++i) // of three in a chunk
        blocks.push_back(victim.heap.allocate(20'000, victim.mine).offset);
    for (const Offset block : blocks)
        demand(victim.heap.free(block, victim.mine), "free of an own small block");
    blocks.clear();
    for (int i = 0; i < 4; ++i)
        blocks.push_back(victim.heap.allocate_zeroed(15'000, victim.mine).offset);
    demand(victim.heap.free(blocks[1], victim.mine), "free of an own zeroed block");
    victim.heap.trim();
    demand(!victim.heap.free(blocks[1], victim.mine), "second free");
}

// In chunks that were full of something else before.
void smallest_blocks(Victim& victim) {
    const Block garbage = victim.heap.allocate(2 * chunk_size, victim.mine);
    std::memset(victim.stage.segment.at<void>(garbage.offset), 0xd5, garbage.size);
    victim.heap.free(garbage.offset, victim.mine);
    victim.heap.trim();
    victim.start_dying();
    for (int i = 0; i < 3; ++i)
        victim.heap.allocate(10, victim.mine);
}

void handed_over(Victim& victim) {
    victim.start_dying();
    const Offset small = victim.heap.allocate(20'000, victim.mine).offset;
    const Offset large = victim.heap.allocate(150'000, Tag::argument(3, 1)).offset;
    demand(victim.heap.retag(small, victim.mine, Tag::argument(2, 1)), "own to argument");
    demand(victim.heap.retag(small, Tag::argument(2, 1), Tag::result(2, 1)), "argument to result");
    demand(victim.heap.retag(large, Tag::argument(3, 1), victim.mine), "argument to own");
    demand(victim.heap.retag(large, victim.mine, Tag::result(3, 1)), "own to result");
    demand(victim.heap.free(small, Tag::result(2, 1)), "free of a small result");
    demand(victim.heap.free(large, Tag::result(3, 1)), "free of a large result");
}

void large_runs(Victim& victim) {
    victim.start_dying();
    const Offset run = victim.heap.allocate(3 * chunk_size, victim.mine).offset;
    const Offset second = victim.heap.allocate_zeroed(2 * chunk_size, victim.mine).offset;
    demand(victim.heap.free(run, victim.mine), "free of a run");
    const Offset warm = victim.heap.allocate(3 * chunk_size, Tag::argument(1, 1)).offset;
    demand(warm == run, "the warm run is used again");
    demand(victim.heap.free(warm, Tag::argument(1, 1)), "free of an argument run");
    demand(victim.heap.free(second, victim.mine), "free of a second run");
    victim.heap.trim();
    victim.heap.allocate(4 * chunk_size, victim.mine);
}

// More than one process keeps warm: the oldest runs are taken apart while freeing.
void overfull_cache(Victim& victim) {
    victim.start_dying();
    std::vector<Offset> runs;
    for (int i = 0; i < 3; ++i)
        runs.push_back(
            victim.heap.allocate(RunCache::warm_limit / 3 + chunk_size, victim.mine).offset);
    for (const Offset run : runs)
        demand(victim.heap.free(run, victim.mine), "free of a huge run");
}

// The neighbour frees what the victim made, then the victim finds it again.
void neighbour_frees(Victim& victim) {
    victim.start_dying();
    Heap neighbour_heap(victim.stage.segment, neighbour);
    std::vector<Offset> blocks;
    for (int i = 0; i < 6; ++i)
        blocks.push_back(victim.heap.allocate(20'000, Tag::argument(1, 1)).offset);
    for (const Offset block : blocks)
        demand(neighbour_heap.free(block, Tag::argument(1, 1)), "free by a neighbour");
    for (int i = 0; i < 6; ++i)
        victim.heap.allocate(20'000, victim.mine);
}

// The tails of a run that the neighbour made name the neighbour until somebody takes the run apart.
void runs_of_others(Victim& victim) {
    Heap neighbour_heap(victim.stage.segment, neighbour);
    const Offset run = neighbour_heap.allocate(4 * chunk_size, Tag::argument(1, 1)).offset;
    victim.start_dying();
    demand(victim.heap.retag(run, Tag::argument(1, 1), victim.mine), "taken over");
    demand(victim.heap.free(run, victim.mine), "free of a neighbour's run");
    victim.heap.trim();
}

// What earlier victims left: orphans with a block of somebody's in them, runs kept warm.
void inheritance(Victim& victim) {
    victim.start_dying();
    const Owner ancestor{ancestor_slot, victim.me.incarnation};
    {
        Heap ancestor_heap(victim.stage.segment, ancestor);
        ancestor_heap.free(ancestor_heap.allocate(3 * chunk_size, Tag::own(ancestor)).offset,
                           Tag::own(ancestor));
        ancestor_heap.allocate(20'000, victim.mine);
        victim.stage.launcher.recover(ancestor);
    }
    victim.heap.allocate(20'000, victim.mine);
    victim.heap.allocate(20'000, victim.mine);
}

void objects(Victim& victim) {
    victim.start_dying();
    const ObjectTable::Ref small = victim.objects.create(20'000, {});
    const ObjectTable::Ref large = victim.objects.create(2 * chunk_size, {});
    demand(victim.objects.acquire(small), "second handle");
    victim.objects.release(small);
    victim.objects.release(small);
    demand(!victim.objects.acquire(small), "gone");
    victim.objects.release(large);
    victim.objects.create(100'000, {});
}

void shared_object(Victim& victim) {
    victim.start_dying();
    demand(victim.objects.acquire(victim.stage.object), "first handle on the neighbour's object");
    demand(victim.objects.acquire(victim.stage.object), "second handle");
    victim.objects.release(victim.stage.object);
    victim.objects.release(victim.stage.object);
    demand(!victim.objects.acquire({victim.stage.object.index, 999}), "no such generation");
}

// Found by its name while its maker lets go of it.
void named_object(Victim& victim) {
    victim.stage.alive_objects.set_name(victim.stage.object, 77);
    victim.start_dying();
    const auto found = victim.objects.acquire_named(0, 77);
    demand(found == victim.stage.object, "found");
    victim.objects.release(*found);
    const auto own = victim.objects.create(64, {.kind = 9});
    victim.objects.set_name(own, 78);
    demand(victim.objects.acquire_named(9, 78) == own, "found its own");
    victim.objects.release(own);
    victim.objects.release(own);
    demand(!victim.objects.acquire_named(9, 78), "gone");
}

// The heap runs full: everything that is kept for quick reuse is taken apart.
void exhaustion(Victim& victim) {
    victim.start_dying();
    const std::size_t capacity = victim.heap.statistics().capacity;
    victim.heap.free(victim.heap.allocate(capacity / 2, victim.mine).offset, victim.mine);
    victim.heap.free(victim.heap.allocate(10 * chunk_size, victim.mine).offset, victim.mine);
    victim.heap.free(victim.heap.allocate(20'000, victim.mine).offset, victim.mine);
    try {
        victim.heap.allocate(capacity - chunk_size, victim.mine);
        demand(false, "exhausted");
    } catch (const dshm::SharedMemoryExhausted&) {
    }
    victim.heap.allocate(capacity / 2, victim.mine);
}

// Free chunks lose their pages, those kept warm by another too, and are had again.
void giving_back(Victim& victim) {
    const Owner ancestor{ancestor_slot, victim.me.incarnation};
    Heap ancestor_heap(victim.stage.segment, ancestor);
    const Offset warm = ancestor_heap.allocate(2 * chunk_size, Tag::own(ancestor)).offset;
    ancestor_heap.free(warm, Tag::own(ancestor));
    const Block used = victim.heap.allocate(3 * chunk_size, victim.mine);
    std::memset(victim.stage.segment.at<void>(used.offset), 0xd5, used.size);
    const Offset small = victim.heap.allocate(20'000, victim.mine).offset;
    victim.start_dying();
    demand(victim.heap.free(used.offset, victim.mine), "free of a run");
    demand(victim.heap.free(small, victim.mine), "free of a small block");
    demand(victim.heap.give_back() != 0, "pages went back");
    const Block again = victim.heap.allocate_zeroed(4 * chunk_size, victim.mine);
    const auto* const bytes = victim.stage.segment.at<unsigned char>(again.offset);
    demand(std::all_of(bytes, bytes + again.size, [](unsigned char byte) { return byte == 0; }),
           "zeros");
    demand(victim.heap.give_back() == 0, "nothing was left to give");
}

} // namespace

TEST_CASE("a death while small blocks come and go") { check_scenario(small_blocks); }
TEST_CASE("a death while the tags of a chunk of 910 blocks are cleared") {
    check_scenario(smallest_blocks, 31);
}
TEST_CASE("a death while blocks change hands") { check_scenario(handed_over); }
TEST_CASE("a death while runs are claimed, kept warm and taken apart") {
    check_scenario(large_runs);
}
TEST_CASE("a death while the warm runs are too many") { check_scenario(overfull_cache, 97); }
TEST_CASE("a death while the neighbour frees one's blocks") { check_scenario(neighbour_frees); }
TEST_CASE("a death while a neighbour's run is taken apart") { check_scenario(runs_of_others); }
TEST_CASE("a death while taking over from the dead") { check_scenario(inheritance); }
TEST_CASE("a death while objects are made and dropped") { check_scenario(objects); }
TEST_CASE("a death while an object is found by its name") { check_scenario(named_object); }
TEST_CASE("a death while holding another's object") { check_scenario(shared_object); }
TEST_CASE("a death while memory is given back to the system") { check_scenario(giving_back); }
TEST_CASE("a death while the heap runs full") { check_scenario(exhaustion, 211); }
