// Orders that a comment calls needed, looked at from between any two steps: before each touch of a shared
// word the test looks at what others could see then. "B never without A" is what the order is for; deaths
// alone do not show it where recovery makes up for it, and others may look while nobody dies.
//
// One process, which plays all of the session; each order here is swapped by tests/mutations.
#include <optional>

#include "catch.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/channel.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/worker_pool.hpp"
#include "support/test_session.hpp"
#include "support/touches.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::disturb_everywhere;
using dshm::test::TestSession;
using dshm::test::touches_of;
using dshm::test::Watch;

namespace {

constexpr auto order = std::memory_order_seq_cst;
constexpr std::size_t small = 16, large = 10'000;
// Of processes whose bits lie in the first and in the last word of a mask.
constexpr shm::Owner early_holder{5, 1}, late_holder{250, 1};

bool is_even(const waiting::Doorbell& bell) {
    return (reinterpret_cast<const std::uint32_t&>(bell) & 1) == 0;
}

TaskPhase phase_of(TestSession& session, TaskRef task) {
    return TaskState::from_bits(session.master->tasks().record(task).state.load(order)).phase;
}

// Finds nothing for so many looks, and begins tasks meanwhile.
class Turns final : public WaitFor {
public:
    bool ready() override { return left_-- <= 0; }

private:
    int left_ = 3;
};

void bury_once(TestSession& session) {
    session.table.set_life(TestSession::dead_owner.slot,
                           {LifePhase::dead, 1, TestSession::dead_id});
    session.recovery->bury({TestSession::dead_owner, TestSession::dead_id, 12345, 9});
}

} // namespace

// ---- the burial --------------------------------------------------------------------------------

TEST_CASE("who is told to look finds all that has ended, and how") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, true, small);
    REQUIRE(session.dead->tasks().claim(entry_of(task)));
    shm::Word32& looks = session.master->area().looks;
    const std::uint32_t before = looks.load(order);
    bool told_early = false, without_words = false;
    {
        const Watch watch([&](int, const void*) {
            const bool ended = is_finished(phase_of(session, task));
            told_early |= !ended && looks.load(order) != before;
            without_words |=
                ended && session.master->tasks().record(task).result != ResultForm::exited;
        });
        bury_once(session);
    }
    CHECK(!told_early);
    CHECK(!without_words);
}

TEST_CASE("the launcher is a reader of blocks throughout") {
    TestSession session;
    int entered = 0;
    bool before = false;
    {
        const Watch watch([&](int, const void*) {
            const bool now = session.segment.header().tag_readers.test(shm::launcher_slot, order);
            entered += now && !before;
            before = now;
        });
        bury_once(session);
    }
    CHECK(entered == 1);
}

TEST_CASE("whoever ends a queued task before the launcher does keeps it") {
    struct Stage : TestSession {
        TaskRef task = queue(*master, dead_id, true, small);
        bool cancelled = false;
    };
    disturb_everywhere<Stage>(
        [](Stage& stage) { stage.cancelled = stage.alive->tasks().claim_queued(stage.task); },
        [](Stage& stage) { bury_once(stage); },
        [](Stage& stage) {
            CHECK(phase_of(stage, stage.task) ==
                  (stage.cancelled ? TaskPhase::running : TaskPhase::failed));
        });
}

TEST_CASE("who is rung for an entry of the dead finds it") {
    TestSession session;
    TestSession::queue(*session.dead, TestSession::alive_id, false, small);
    ProcessArea& area = session.alive->area();
    area.bell.arm();
    bool rung_early = false;
    {
        const Watch watch(
            [&](int, const void*) { rung_early |= is_even(area.bell) && !area.inbox.peek(); });
        bury_once(session);
    }
    CHECK(!rung_early);
}

// ---- the end of a task -------------------------------------------------------------------------

TEST_CASE("whoever sees the end of a task finds its worker free") {
    for (const bool by_death : {false, true}) {
        TestSession session;
        const ObjectHandle object = Pool::make();
        Pool pool(*session.launcher, object);
        pool.add(TestSession::alive_owner);
        const auto taken = pool.try_take();
        REQUIRE(taken);
        const TaskRef task =
            send_pooled_call(*session.launcher, taken->worker, pool.place_of(*taken), [] {});
        pool.hand_over(*taken);
        Process& runner = by_death ? *session.dead : *session.alive;
        REQUIRE(runner.tasks().claim_queued(task));
        bool too_late = false;
        {
            const Watch watch([&](int, const void*) {
                too_late |= is_finished(phase_of(session, task)) &&
                            pool.head().members.state(TestSession::alive_owner.slot).phase() !=
                                queue::MemberPhase::free;
            });
            if (by_death)
                bury_once(session);
            else
                fail_task(runner, task, std::make_exception_ptr(std::runtime_error("no")));
        }
        CHECK(!too_late);
        CHECK(is_finished(phase_of(session, task)));
    }
}

TEST_CASE("a record is free only when its block is") {
    for (const bool abandoned : {false, true}) {
        TestSession session;
        const TaskRef task = TestSession::fill(*session.alive, 0, false, large);
        TaskTable& tasks = session.alive->tasks();
        const shm::Offset block = tasks.block_of(tasks.record(task));
        const shm::Tag argument = shm::Tag::argument(task.index, task.generation);
        const shm::Tag result = shm::Tag::result(task.index, task.generation);
        if (!abandoned)
            REQUIRE(session.alive->heap().retag(block, argument, result));
        bool too_early = false;
        {
            const Watch watch([&](int, const void*) {
                too_early |= phase_of(session, task) == TaskPhase::free &&
                             session.master->heap().tag_of(block).bits ==
                                 (abandoned ? argument : result).bits;
            });
            abandoned ? tasks.abandon(task) : tasks.free_claimed(task);
        }
        CHECK(!too_early);
        CHECK(session.blocks() == 0);
    }
}

// ---- shares ------------------------------------------------------------------------------------

TEST_CASE("a share is counted when its bit is there") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, true, small);
    session.master->tasks().allow_shares(task);
    TaskRecord& record = session.master->tasks().record(task);
    const std::uint64_t before = record.shares.load(order);
    bool without_bit = false;
    {
        const Watch watch([&](int, const void*) {
            without_bit |= record.shares.load(order) != before &&
                           !record.holders.test(TestSession::alive_owner.slot, order);
        });
        REQUIRE(session.alive->tasks().take_share(task));
    }
    CHECK(!without_bit);
}

TEST_CASE("whoever has got a share has the task, wherever the last other holder goes") {
    struct Stage : TestSession {
        TaskRef task = queue(*master, 0, true, small);
        bool held = false;
        Stage() {
            master->tasks().allow_shares(task);
            REQUIRE(dead->tasks().claim(entry_of(task)));
            dead->tasks().record(task).result = ResultForm::none;
            dead->tasks().finish(task, TaskPhase::done);
        }
    };
    disturb_everywhere<Stage>(
        [](Stage& stage) { stage.master->holdings().drop(stage.task); },
        [](Stage& stage) { stage.held = stage.alive->tasks().take_share(stage.task); },
        [](Stage& stage) { CHECK(stage.held == (stage.phase(stage.task) != TaskPhase::free)); });
}

TEST_CASE("whoever finds an object by its name has it, wherever the last holder lets go") {
    struct Stage : TestSession {
        shm::ObjectTable::Ref object = alive->objects().create(100, {});
        std::optional<shm::ObjectTable::Ref> found;
        Stage() { alive->objects().set_name(object, 77); }
    };
    disturb_everywhere<Stage>(
        [](Stage& stage) { stage.found = stage.master->objects().acquire_named(0, 77); },
        [](Stage& stage) { stage.alive->objects().release(stage.object); },
        [](Stage& stage) {
            CHECK(stage.found.has_value() == stage.master->objects().is_live(stage.object));
        });
}

// The words of holders are read one by one; a share moves from a late one to an early one meanwhile.
TEST_CASE("a share of a task that moves from word to word is seen all the time") {
    struct Stage : TestSession {
        TaskRef task = queue(*master, 0, true, small);
        TaskTable early{segment, alive->heap(), early_holder},
            late{segment, alive->heap(), late_holder};
        bool seen = true;
        Stage() {
            master->tasks().allow_shares(task);
            REQUIRE(late.take_share(task));
            master->tasks().leave_share(task);
        }
    };
    disturb_everywhere<Stage>(
        [](Stage& stage) {
            REQUIRE(stage.early.take_share(stage.task));
            stage.late.leave_share(stage.task);
        },
        [](Stage& stage) { stage.seen = !stage.alive->tasks().unheld(stage.task); },
        [](Stage& stage) { CHECK(stage.seen); });
}

TEST_CASE("an object whose handle moves from word to word can be had all the time") {
    struct Stage : TestSession {
        shm::ObjectTable early{segment, alive->heap(), early_holder},
            late{segment, alive->heap(), late_holder};
        shm::ObjectTable::Ref object = alive->objects().create(100, {});
        bool had = true;
        Stage() { REQUIRE(late.acquire(object)); }
        void move() {
            REQUIRE(early.acquire(object));
            late.release(object);
        }
    };
    const auto let_go = [](Stage& stage) { stage.alive->objects().release(stage.object); };
    for (const int at : touches_of<Stage>(let_go))
        for (int later = 1; later < 8; ++later) {
            CAPTURE(at, later);
            Stage stage;
            {
                const Watch watch([&](int touch, const void*) {
                    if (touch == at)
                        stage.move();
                    if (touch == at + later)
                        stage.had = stage.master->objects().acquire(stage.object);
                });
                let_go(stage);
            }
            CHECK(stage.had);
            CHECK(stage.master->objects().is_live(stage.object));
        }
}

// ---- rings -------------------------------------------------------------------------------------

TEST_CASE("an entry stands for a task that can be claimed, and a hint or a ring for an entry") {
    TestSession session;
    ProcessArea& own = session.master->area();
    ProcessArea& other = session.alive->area();
    other.bell.arm();
    bool entry_early = false, hint_early = false, rung_early = false;
    const auto too_early = [&](auto& ring) {
        const auto front = ring.peek();
        return front && phase_of(session, {front->entry.index, 0}) != TaskPhase::queued;
    };
    {
        const Watch watch([&](int, const void*) {
            entry_early |= too_early(own.ready) || too_early(other.inbox);
            hint_early |=
                session.segment.header().ready.test(shm::master_slot, order) && !own.ready.peek();
            rung_early |= is_even(other.bell) && !other.inbox.peek();
        });
        send_call(*session.master, std::nullopt, true, [] {});
        send_call(*session.master,
                  Membership::Member{TestSession::alive_id, TestSession::alive_owner}, true, [] {});
    }
    CHECK(own.ready.peek());
    CHECK(other.inbox.peek());
    CHECK(!entry_early);
    CHECK(!hint_early);
    CHECK(!rung_early);
}

// Whoever dies in between leaves it in two places and never in none.
TEST_CASE("a ring moves on when the task has been claimed") {
    enum class From { inbox, own_ring, another_ring };
    for (const From from : {From::inbox, From::own_ring, From::another_ring}) {
        TestSession session;
        Process& sender = from == From::own_ring ? *session.alive : *session.master;
        std::optional<Membership::Member> target;
        if (from == From::inbox)
            target = {TestSession::alive_id, TestSession::alive_owner};
        const TaskRef task = send_call(sender, target, true, [] {});
        ProcessArea& area =
            from == From::another_ring ? session.master->area() : session.alive->area();
        const auto is_there = [&] {
            return from == From::inbox ? area.inbox.peek().has_value()
                                       : area.ready.peek().has_value();
        };
        REQUIRE(is_there());
        bool lost = false;
        {
            const Watch watch([&](int, const void*) {
                lost |= phase_of(session, task) == TaskPhase::queued && !is_there();
            });
            Turns turns;
            session.alive->scheduler().wait(turns);
        }
        CHECK(!lost);
        CHECK(!is_there());
        CHECK(phase_of(session, task) == TaskPhase::done);
    }
}
