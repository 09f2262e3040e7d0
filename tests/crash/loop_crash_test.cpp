// A participant of a loop dies at its n-th touch of a shared word, for every n, and its caller at
// each touch of taking back; then the next ones finish the loop, and every chunk was done, with the
// value that belongs to it.
#include "catch.hpp"

#include <sys/mman.h>

#include "child_process.hpp"
#include "dshm/runtime/loop_chunks.hpp"

using namespace dshm::runtime;
using dshm::shm::arm_crash_point;
using dshm::test::demand;
using dshm::test::run_in_child;
using dshm::test::was_killed;

namespace {

constexpr std::size_t chunks = 5;
constexpr Participant victim{0, 0, false}, heir{1, 0, true}, neighbour{2, 0, false};

class Stage {
public:
    explicit Stage(const LoopPlan& plan, bool travels)
        : size_(LoopChunks::bytes(plan, sizeof(long), 0)),
          memory_(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
          loop(memory_) {
        loop.lay_out(plan, sizeof(long), 0);
        loop.head().travels = travels;
    }
    ~Stage() { munmap(memory_, size_); }
    Stage(const Stage&) = delete;

private:
    std::size_t size_;
    void* memory_;

public:
    LoopChunks loop;
};

long& value(const LoopChunks& loop, std::size_t chunk) {
    return *reinterpret_cast<long*>(loop.result(chunk));
}

long value_of(std::size_t chunk) { return static_cast<long>(100 + chunk); }

void take_part(const LoopChunks& loop, const Participant& me) {
    ChunkCursor cursor(loop, me);
    while (const auto chunk = cursor.claim()) {
        value(loop, *chunk) = value_of(*chunk);
        loop.finish(*chunk, me, ChunkPhase::done);
    }
}

void check_complete(const LoopChunks& loop) {
    for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
        REQUIRE(loop.state(chunk).phase == ChunkPhase::done);
        REQUIRE(value(loop, chunk) == value_of(chunk));
    }
}

LoopPlan plan(LoopLanes owners) { return LoopPlan::equal(chunks, 1, 1, owners); }

} // namespace

TEST_CASE("a participant dies at every touch") {
    for (const LoopLanes owners : {LoopLanes::shared, LoopLanes::dealt})
        for (const bool travels : {false, true})
            for (std::uint64_t touch = 1;; ++touch) {
                const Stage stage(plan(owners), travels);
                const int status = run_in_child([&] {
                    arm_crash_point(touch);
                    take_part(stage.loop, victim);
                });
                const bool died = was_killed(status);
                REQUIRE((died || dshm::test::left_well(status)));
                if (died) {
                    const auto loss = stage.loop.take_back(victim, 1);
                    CHECK(!loss.last_straw);
                    CHECK(stage.loop.take_back(victim, 1).chunks == 0);
                    take_part(stage.loop, heir);
                }
                check_complete(stage.loop);
                if (!died)
                    break;
            }
}

TEST_CASE("a participant dies while another goes on") {
    for (std::uint64_t touch = 1; touch <= 12; ++touch) {
        const Stage stage(plan(LoopLanes::shared), false);
        ChunkCursor other(stage.loop, neighbour);
        const auto theirs = other.claim();
        REQUIRE(theirs);
        const int status = run_in_child([&] {
            arm_crash_point(touch);
            take_part(stage.loop, victim);
        });
        REQUIRE(was_killed(status));
        stage.loop.take_back(victim, 1);
        CHECK((stage.loop.state(*theirs) == ChunkState{ChunkPhase::claimed, 0, neighbour.number}));
        take_part(stage.loop, heir);
        value(stage.loop, *theirs) = value_of(*theirs);
        stage.loop.finish(*theirs, neighbour, ChunkPhase::done);
        check_complete(stage.loop);
    }
}

TEST_CASE("taking back is stopped at every touch and done again") {
    for (std::uint64_t touch = 1;; ++touch) {
        const Stage stage(plan(LoopLanes::shared), true);
        for (std::size_t chunk = 0; chunk < chunks; ++chunk)
            REQUIRE(stage.loop.claim(chunk, victim));
        stage.loop.finish(1, victim, ChunkPhase::done);
        const int status = run_in_child([&] {
            arm_crash_point(touch);
            stage.loop.take_back(victim, 1);
        });
        stage.loop.take_back(victim, 1);
        for (std::size_t chunk = 0; chunk < chunks; ++chunk)
            REQUIRE((stage.loop.state(chunk) == ChunkState{ChunkPhase::free, 1, victim.number}));
        take_part(stage.loop, heir);
        check_complete(stage.loop);
        if (!was_killed(status))
            break;
    }
}
