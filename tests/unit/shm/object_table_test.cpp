#include "catch.hpp"

#include <atomic>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include "dshm/shm/object_table.hpp"
#include "test_segment.hpp"

using namespace dshm::shm;
using dshm::SharedMemoryExhausted;
using dshm::test::contains;
using dshm::test::make_segment;
using Ref = ObjectTable::Ref;

namespace {

constexpr Owner launcher_itself{1, 1};
constexpr Owner maker{2, 1};
constexpr Owner second{3, 1};
constexpr Owner dead{5, 3};

struct Process {
    Heap heap;
    ObjectTable objects;
    Process(Segment& segment, Owner me) : heap(segment, me), objects(segment, heap, me) {}
};

struct Scene {
    Segment segment = make_segment();
    Process launcher{segment, launcher_itself};
    Process alive{segment, maker};
    Process other{segment, second};
    Process victim{segment, dead};

    ObjectRecord& record(Ref ref) {
        return segment.at<ObjectRecord>(segment.geometry().objects)[ref.index];
    }
    void set_state(Ref ref, ObjectState state) {
        record(ref).state.store(state.bits, std::memory_order_release);
    }
    void recover() {
        launcher.heap.recover(dead);
        launcher.objects.recover(dead);
        launcher.objects.recover(dead); // may come again, in any order
        launcher.heap.recover(dead);
    }
    void check_nothing_left() {
        CHECK(launcher.objects.live_count() == 0);
        const HeapStatistics count = launcher.heap.statistics();
        CHECK(count.blocks_in_use == 0);
        CHECK(count.unfinished == 0);
        CHECK(count.accounted() == count.opened);
        const Ref again = alive.objects.create(100, {});
        CHECK(again.index < 3); // records are used again
        alive.objects.release(again);
    }
};

} // namespace

TEST_CASE("an object is zero, knows what it was told, and goes with its last handle") {
    Scene scene;
    for (const std::size_t bytes : {std::size_t{0}, std::size_t{8}, std::size_t{500'000}}) {
        const Ref ref = scene.alive.objects.create(bytes, {4, 0xabc, {5, 6, 7, 8}});
        const ObjectView view = scene.alive.objects.view(ref);
        CHECK(view.bytes == bytes);
        CHECK(view.description.kind == 4);
        CHECK(view.description.type_hash == 0xabc);
        CHECK(view.description.user == std::array<std::uint64_t, 4>{5, 6, 7, 8});
        const auto* const begin = scene.segment.at<unsigned char>(view.block);
        CHECK(std::all_of(begin, begin + bytes, [](unsigned char byte) { return byte == 0; }));
        CHECK(scene.alive.heap.tag_of(view.block) == Tag::object(ref.index, ref.generation));
        CHECK(scene.other.objects.live_count() == 1);
        scene.alive.objects.release(ref);
        CHECK_FALSE(scene.alive.objects.is_live(ref));
        CHECK_THROWS_WITH(scene.alive.objects.view(ref), contains("gone"));
    }
    scene.check_nothing_left();
}

TEST_CASE("handles are counted in each process, and the mask has one bit for each") {
    Scene scene;
    const Ref ref = scene.alive.objects.create(1000, {});
    CHECK(scene.alive.objects.acquire(ref));
    CHECK(scene.alive.objects.handles(ref) == 2);
    CHECK(scene.other.objects.acquire(ref));
    CHECK(scene.other.objects.acquire(ref));
    CHECK(scene.record(ref).holders.test(maker.slot, std::memory_order_relaxed));
    CHECK(scene.record(ref).holders.test(second.slot, std::memory_order_relaxed));
    scene.alive.objects.release(ref);
    scene.alive.objects.release(ref);
    CHECK(scene.other.objects.is_live(ref));
    CHECK_FALSE(scene.record(ref).holders.test(maker.slot, std::memory_order_relaxed));
    CHECK(scene.alive.objects.handles(ref) == 0);
    scene.other.objects.release(ref);
    CHECK(scene.other.objects.is_live(ref));
    scene.other.objects.release(ref);
    CHECK_FALSE(scene.other.objects.is_live(ref));
    scene.check_nothing_left();
}

TEST_CASE("a reference to what is gone is refused and disturbs nothing") {
    Scene scene;
    const Ref old = scene.alive.objects.create(1000, {});
    scene.alive.objects.release(old);
    CHECK_FALSE(scene.other.objects.acquire(old));
    const Ref next = scene.alive.objects.create(1000, {});
    REQUIRE(next.index == old.index);
    CHECK(next.generation == old.generation + 1);
    CHECK_FALSE(scene.other.objects.acquire(old));
    CHECK_FALSE(scene.alive.objects.acquire(old));
    CHECK(scene.alive.objects.handles(next) == 1);
    CHECK_FALSE(scene.record(next).holders.test(second.slot, std::memory_order_relaxed));
    CHECK_FALSE(scene.other.objects.acquire({}));
    CHECK_FALSE(scene.other.objects.acquire({max_objects - 1, 0}));
    CHECK_FALSE(scene.other.objects.acquire({max_objects + 5, 0}));
    CHECK_FALSE(scene.other.objects.is_live({~0u, ~0u}));
    scene.alive.objects.release(next);
    scene.check_nothing_left();
}

TEST_CASE("a full table is reported, and usable again") {
    Scene scene;
    std::vector<Ref> refs;
    try {
        for (;;)
            refs.push_back(scene.alive.objects.create(64, {}));
    } catch (const SharedMemoryExhausted& error) {
        CHECK_THAT(error.what(), contains("16384 shared objects"));
    }
    CHECK(refs.size() == max_objects);
    CHECK(scene.alive.objects.live_count() == max_objects);
    scene.alive.objects.release(refs[777]);
    const Ref found = scene.other.objects.create(64, {}); // another process finds it
    CHECK(found.index == refs[777].index);
    scene.other.objects.release(found);
    refs.erase(refs.begin() + 777);
    for (const Ref ref : refs)
        scene.alive.objects.release(ref);
    CHECK(scene.alive.objects.live_count() == 0);
}

TEST_CASE("an object for which there is no room leaves no record behind") {
    Scene scene;
    const std::size_t capacity = scene.alive.heap.statistics().capacity;
    CHECK_THROWS_AS(scene.alive.objects.create(capacity + 1, {}), SharedMemoryExhausted);
    const Ref ref = scene.alive.objects.create(64, {});
    CHECK(ref == Ref{0, 0});
    scene.alive.objects.release(ref);
    scene.check_nothing_left();
}

TEST_CASE("died while making an object") {
    Scene scene;
    const Ref ref = scene.victim.objects.create(200'000, {});
    const Offset block = scene.victim.objects.view(ref).block;
    scene.set_state(ref, ObjectState::make(ObjectPhase::making, ref.generation, dead));
    SECTION("before the commit") {}
    SECTION("before the block was the object's") {
        scene.victim.heap.retag(block, Tag::object(ref.index, ref.generation), Tag::own(dead));
    }
    SECTION("before it was a holder") {
        scene.record(ref).holders.clear(dead.slot, std::memory_order_relaxed);
        scene.victim.heap.retag(block, Tag::object(ref.index, ref.generation), Tag::own(dead));
    }
    SECTION("before it had a block, with the one of the last generation still in the record") {
        scene.alive.heap.free(block, Tag::object(ref.index, ref.generation));
        const Offset taken = scene.alive.heap.allocate(200'000, Tag::own(maker)).offset;
        CHECK(taken == block);
        scene.recover();
        CHECK(scene.alive.heap.free(taken, Tag::own(maker)));
    }
    scene.recover();
    CHECK_FALSE(scene.alive.objects.acquire(ref));
    scene.check_nothing_left();
}

TEST_CASE("died while freeing an object") {
    Scene scene;
    const Ref ref = scene.victim.objects.create(200'000, {});
    scene.record(ref).holders.clear(dead.slot, std::memory_order_relaxed);
    SECTION("after clearing the last bit") {}
    SECTION("before the second look") {
        scene.set_state(ref, ObjectState::make(ObjectPhase::ending, ref.generation, dead));
        CHECK(scene.alive.objects.is_live(ref)); // for its holders, if there are any
        CHECK_FALSE(scene.alive.objects.acquire(ref));
    }
    SECTION("after the state") {
        scene.set_state(ref, ObjectState::make(ObjectPhase::freeing, ref.generation, dead));
    }
    SECTION("after freeing the block") {
        scene.victim.heap.free(scene.victim.objects.view(ref).block,
                               Tag::object(ref.index, ref.generation));
        scene.set_state(ref, ObjectState::make(ObjectPhase::freeing, ref.generation, dead));
    }
    scene.recover();
    scene.check_nothing_left();
}

TEST_CASE("a holder's death takes its own bit off, and the object with it if it was the last") {
    Scene scene;
    const Ref shared = scene.alive.objects.create(1000, {});
    const Ref alone = scene.victim.objects.create(1000, {});
    REQUIRE(scene.victim.objects.acquire(shared));
    SECTION("the maker still holds") {
        scene.recover();
        CHECK(scene.alive.objects.is_live(shared));
        scene.alive.objects.release(shared);
    }
    SECTION("the maker has let go") {
        scene.alive.objects.release(shared);
        CHECK(scene.alive.objects.is_live(shared));
        scene.recover();
    }
    CHECK_FALSE(scene.alive.objects.is_live(shared));
    CHECK_FALSE(scene.alive.objects.is_live(alone));
    scene.check_nothing_left();
}

TEST_CASE("a recovery leaves alone what others are making and freeing") {
    Scene scene;
    const Ref making = scene.alive.objects.create(1000, {});
    const Ref freeing = scene.alive.objects.create(1000, {});
    const ObjectState half_made = ObjectState::make(ObjectPhase::making, making.generation, maker);
    scene.set_state(making, half_made);
    scene.set_state(freeing, ObjectState::make(ObjectPhase::freeing, freeing.generation, maker));
    scene.recover();
    CHECK(scene.record(making).state.load(std::memory_order_relaxed) == half_made.bits);
    CHECK(scene.launcher.heap.statistics().blocks_in_use == 2);
    scene.launcher.objects.recover(maker);
    scene.launcher.heap.recover(maker);
    CHECK(scene.launcher.heap.statistics().blocks_in_use == 0);
}

TEST_CASE("threads share one process's handles", "[threads]") {
    Scene scene;
    constexpr unsigned objects = 4;
    std::vector<Ref> refs;
    for (unsigned i = 0; i < objects; ++i)
        refs.push_back(scene.alive.objects.create(100, {}));
    // The other process's threads come and go while the maker's handles last.
    std::vector<std::thread> threads;
    std::atomic<int> wrong{0};
    for (unsigned seed = 0; seed < 4; ++seed)
        threads.emplace_back([&, seed] {
            std::mt19937 random(seed);
            for (int i = 0; i < 20'000; ++i) {
                const Ref ref = refs[random() % objects];
                wrong += !scene.other.objects.acquire(ref);
                wrong += !scene.other.objects.is_live(ref);
                scene.other.objects.release(ref);
                if (i % 10 == 0) {
                    const Ref own = scene.other.objects.create(64, {});
                    wrong += scene.other.objects.handles(own) != 1;
                    scene.other.objects.release(own);
                }
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
    for (const Ref ref : refs) {
        CHECK(scene.other.objects.handles(ref) == 0);
        scene.alive.objects.release(ref);
    }
    CHECK(scene.launcher.objects.live_count() == 0);
    CHECK(scene.launcher.heap.statistics().blocks_in_use == 0);
}

TEST_CASE("the last two holders let go at the same time: one frees", "[threads]") {
    Scene scene;
    for (int round = 0; round < 3000; ++round) {
        const Ref ref = scene.alive.objects.create(64, {});
        REQUIRE(scene.other.objects.acquire(ref));
        std::thread thread([&] { scene.other.objects.release(ref); });
        scene.alive.objects.release(ref);
        thread.join();
        REQUIRE_FALSE(scene.alive.objects.is_live(ref));
    }
    scene.check_nothing_left();
}

TEST_CASE("died over the end of an object that somebody had found by its name") {
    Scene scene;
    const Ref ref = scene.victim.objects.create(64, {.kind = 4});
    scene.victim.objects.set_name(ref, 77);
    REQUIRE(scene.alive.objects.acquire_named(4, 77) == ref);
    scene.record(ref).holders.clear(dead.slot, std::memory_order_relaxed);
    scene.set_state(ref, ObjectState::make(ObjectPhase::ending, ref.generation, dead));
    scene.recover();
    CHECK(scene.alive.objects.is_live(ref));
    CHECK(scene.other.objects.acquire(ref));
    scene.alive.objects.release(ref);
    scene.other.objects.release(ref);
    scene.check_nothing_left();
}

TEST_CASE("a name is that of one kind, and goes with the object") {
    Scene scene;
    const Ref ref = scene.alive.objects.create(64, {.kind = 4});
    CHECK_FALSE(scene.other.objects.acquire_named(4, 77));
    scene.alive.objects.set_name(ref, 77);
    CHECK_FALSE(scene.other.objects.acquire_named(5, 77));
    CHECK_FALSE(scene.other.objects.acquire_named(4, 78));
    REQUIRE(scene.other.objects.acquire_named(4, 77) == ref);
    scene.alive.objects.release(ref);
    CHECK(scene.alive.objects.acquire_named(4, 77) == ref);
    scene.alive.objects.release(ref);
    scene.other.objects.release(ref);
    CHECK_FALSE(scene.alive.objects.acquire_named(4, 77));
    const Ref again = scene.alive.objects.create(64, {.kind = 4});
    CHECK_FALSE(
        scene.other.objects.acquire_named(4, 77)); // the record is used again, without a name
    scene.alive.objects.release(again);
    scene.check_nothing_left();
}

TEST_CASE("an object is found by its name while it comes and goes: whoever has it keeps it",
          "[threads]") {
    Scene scene;
    std::atomic<bool> over = false;
    std::thread maker_thread([&] {
        for (int round = 0; round < 20'000; ++round) {
            const Ref ref = scene.alive.objects.create(64, {.kind = 4});
            *scene.segment.at<std::uint64_t>(scene.alive.objects.view(ref).block) = 12345;
            scene.alive.objects.set_name(ref, 77);
            scene.alive.objects.release(ref);
        }
        over = true;
    });
    std::size_t found = 0, wrong = 0;
    while (!over) {
        const auto ref = scene.other.objects.acquire_named(4, 77);
        if (!ref)
            continue;
        ++found;
        for (int look = 0; look < 20; ++look)
            wrong +=
                !scene.other.objects.is_live(*ref) ||
                *scene.segment.at<std::uint64_t>(scene.other.objects.view(*ref).block) != 12345;
        scene.other.objects.release(*ref);
    }
    maker_thread.join();
    CHECK(wrong == 0);
    CAPTURE(found);
    scene.check_nothing_left();
}
