// What the dead leave goes to one and not to two, and those who come too late or too early find out:
// between any two steps of the one who takes over somebody else does what may happen then, or looks.
//
// One process, which plays all of the session; each of the steps and orders is taken away by tests/mutations.
#include <cstring>
#include <optional>

#include "catch.hpp"
#include "dshm/runtime/channel.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/task_handle.hpp"
#include "dshm/ship/exceptions.hpp"
#include "dshm/worker_pool.hpp"
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
constexpr Membership::Member the_dead{TestSession::dead_id, TestSession::dead_owner};

TaskPhase phase_of(TestSession& session, TaskRef task) {
    return TaskState::from_bits(session.master->tasks().record(task).state.load(order)).phase;
}

// It has died, and `alive` has come in its place.
void say_who_comes(TestSession& session) {
    Obituary& obituary = session.table.obituary(the_dead.id);
    obituary.successor = TestSession::alive_id;
    obituary.key.store(static_cast<std::uint64_t>(the_dead.id), order);
    session.table.set_life(the_dead.owner.slot, {LifePhase::dead, 1, the_dead.id});
}

void bury_with_successor(TestSession& session) {
    say_who_comes(session);
    Death death{the_dead.owner, the_dead.id, 12345, 9};
    death.repeats = true;
    death.successor = {TestSession::alive_id, TestSession::alive_owner};
    session.recovery->bury(death);
}

// A call for anyone or for one, that may be begun anew, up to a moment before the commit.
TaskRef repeatable_call(Process& sender, WorkerId target) {
    const TaskRef task = TestSession::fill(sender, target, true, small);
    TaskRecord& record = sender.tasks().record(task);
    record.result = ResultForm::none;
    record.control.fetch_or(control::repeatable, order);
    sender.tasks().publish(task);
    return task;
}

// What the dead one runs for this process.
struct RunningStage : TestSession {
    TaskHandle task;
    bool ended_by_cancel = false;

    RunningStage() {
        const TaskRef ref = repeatable_call(*launcher, 0);
        REQUIRE(dead->tasks().claim(entry_of(ref)));
        launcher->holdings().observe(ref);
        task = TaskHandle::adopt(ref);
    }
};

struct PoolStage : TestSession {
    WorkerPool pool;
};

constexpr Channel::Shape shape_of_channel(WorkerId owner) { return {4, 8, false, owner}; }

const Channel::Ring& ring_behind(const ChannelHead& head) {
    return *reinterpret_cast<const Channel::Ring*>(reinterpret_cast<const std::byte*>(&head) +
                                                   sizeof(ChannelHead));
}

struct ChannelStage : TestSession {
    ObjectHandle object;
    std::optional<Channel> channel;

    explicit ChannelStage(WorkerId owner = 1) {
        const Channel::Shape shape = shape_of_channel(owner);
        object = ObjectHandle(Channel::bytes(shape), {.kind = object_kind::channel});
        Channel::make(static_cast<std::byte*>(object.address()), shape);
        channel.emplace(*launcher, object.object());
    }
    ChannelHead& head() { return Channel::head_in(static_cast<std::byte*>(object.address())); }
    const Channel::Ring& ring() { return ring_behind(head()); }
};

} // namespace

// ---- tasks -------------------------------------------------------------------------------------

TEST_CASE("a task is cancelled or begun anew, wherever the one looks while the other acts") {
    const auto cancel = [](RunningStage& stage) {
        stage.task.cancel();
        stage.ended_by_cancel = stage.task.ended();
    };
    disturb_everywhere<RunningStage>(cancel, bury_with_successor, [](RunningStage& stage) {
        REQUIRE(stage.task.ended());
        const TaskRecord& record = stage.launcher->tasks().record(stage.task.task());
        CHECK((record.result == ResultForm::exited) != stage.ended_by_cancel);
    });
    disturb_everywhere<RunningStage>(bury_with_successor, cancel,
                                     [](RunningStage& stage) { CHECK(stage.task.ended()); });
}

TEST_CASE("who cancels a task asks it to stop, and ends it when it is for others, but once") {
    for (const int at : touches_of<RunningStage>(bury_with_successor)) {
        CAPTURE(at);
        RunningStage stage;
        const TaskRef task = stage.task.task();
        const TaskTable& tasks = stage.launcher->tasks();
        bool ended_here = false;
        const auto end_it = [&] {
            if (ended_here || !tasks.claim_queued(task))
                return;
            ended_here = true;
            fail_task(*stage.launcher, task, std::make_exception_ptr(InterruptException("")));
        };
        {
            const Watch watch([&](int touch, const void*) {
                if (touch == at)
                    tasks.record(task).control.fetch_or(control::cancelled, order);
                else if (touch > at)
                    end_it();
            });
            bury_with_successor(stage);
        }
        end_it();
        CHECK(is_finished(phase_of(stage, task)));
        CHECK((tasks.record(task).result == ResultForm::exited) != ended_here);
    }
}

// An entry that its worker had not taken out may lie in some ring.
TEST_CASE("a task that was cancelled is at no moment for others again") {
    RunningStage stage;
    stage.task.cancel();
    bool offered = false;
    {
        const Watch watch([&](int, const void*) {
            offered |= phase_of(stage, stage.task.task()) == TaskPhase::queued;
        });
        bury_with_successor(stage);
    }
    CHECK(!offered);
}

TEST_CASE("a call is given to the successor by its sender or by the launcher, not by both") {
    struct Stage : TestSession {
        TaskRef task = repeatable_call(*master, dead_id);
        bool taken = false;
        Stage() { say_who_comes(*this); }
    };
    disturb_everywhere<Stage>(
        [](Stage& stage) {
            bury_with_successor(stage);
            stage.taken = stage.alive->tasks().claim_queued(stage.task);
        },
        [](Stage& stage) { stage.master->scheduler().send_to(the_dead, stage.task); },
        [](Stage& stage) {
            CHECK(phase_of(stage, stage.task) ==
                  (stage.taken ? TaskPhase::running : TaskPhase::queued));
            CHECK(stage.alive->area().inbox.peek());
        });
}

TEST_CASE("an entry for the successor stands for a task that can be claimed") {
    TestSession session;
    say_who_comes(session);
    const TaskRef task = repeatable_call(*session.master, the_dead.id);
    bool too_early = false;
    {
        const Watch watch([&](int, const void*) {
            too_early |=
                session.alive->area().inbox.peek() && phase_of(session, task) != TaskPhase::queued;
        });
        session.master->scheduler().send_to(the_dead, task);
    }
    CHECK(session.alive->area().inbox.peek());
    CHECK(!too_early);
}

// ---- pools and memory --------------------------------------------------------------------------

TEST_CASE("a pool has a member all the time while one takes the place of another") {
    TestSession session;
    const ObjectHandle object = Pool::make();
    Pool pool(*session.launcher, object);
    pool.add(TestSession::dead_owner);
    bool empty = false;
    {
        const Watch watch([&](int, const void*) {
            bool some = false;
            pool.head().members.for_each([&](shm::Owner) { some = true; });
            empty |= !some;
        });
        bury_with_successor(session);
    }
    CHECK(!empty);
}

TEST_CASE(
    "a worker that dies while it is added to a pool has its successor there, or was refused") {
    disturb_everywhere<PoolStage>(
        bury_with_successor,
        [](PoolStage& stage) {
            try {
                stage.pool.push(TestSession::dead_id);
            } catch (const ProcessExitedException&) {
                stage.pool.push(TestSession::alive_id);
            }
        },
        [](PoolStage& stage) {
            CHECK(stage.pool.workers() == std::vector<WorkerId>{TestSession::alive_id});
        });
}

namespace {

constexpr std::size_t run_bytes = 200'000;

// A run that `alive` had made, and that the dead one freed: it is kept warm in its name, and `alive` may
// have it again.
struct WarmRun : TestSession {
    shm::Offset taken = 0;

    WarmRun() {
        const shm::Tag dead_tag = shm::Tag::own(dead_owner);
        const shm::Offset run = alive->heap().allocate(run_bytes, tag()).offset;
        REQUIRE(alive->heap().retag(run, tag(), dead_tag));
        REQUIRE(dead->heap().free(run, dead_tag));
    }
    static shm::Tag tag() { return shm::Tag::own(alive_owner); }
    void take(std::size_t bytes) { taken = alive->heap().allocate(bytes, tag()).offset; }
    void check(std::size_t bytes) const {
        CHECK(launcher->heap().room_of(taken) >= bytes);
        CHECK(launcher->heap().tag_of(taken) == tag());
        const shm::HeapStatistics count = launcher->heap().statistics();
        CHECK(count.blocks_in_use == 1);
        CHECK(count.unfinished == 0);
        CHECK(count.accounted() == count.opened);
    }
};

} // namespace

TEST_CASE("whoever takes a warm run has it, wherever its owner or the launcher takes it apart") {
    const auto take = [](WarmRun& stage) { stage.take(run_bytes); };
    const auto check = [](WarmRun& stage) { stage.check(run_bytes); };
    disturb_everywhere<WarmRun>(
        take, [](WarmRun& stage) { stage.launcher->heap().recover(WarmRun::dead_owner); }, check);
    disturb_everywhere<WarmRun>(
        take, [](WarmRun& stage) { stage.dead->heap().trim(); }, check);
}

// A repetition, after an interruption, knows no other name.
TEST_CASE("what the dead was to free is taken apart in its name") {
    TestSession session;
    session.dead->objects().create(run_bytes, {});
    const shm::ChunkTable table(session.segment, TestSession::master_owner);
    bool in_another_name = false;
    {
        const Watch watch([&](int, const void*) {
            const shm::Owner launcher = TestSession::launcher_owner;
            for (shm::Chunk chunk = 0; chunk < table.end_of_walk(); ++chunk)
                in_another_name |= table.state(chunk) == shm::ChunkState::part(launcher) ||
                                   (table.state(chunk).kind() == shm::ChunkKind::head &&
                                    table.run_tag(chunk).names(launcher));
        });
        session.launcher->objects().recover(TestSession::dead_owner);
    }
    CHECK(session.blocks() == 0);
    CHECK(!in_another_name);
}

TEST_CASE("whoever takes a chunk of a run that is taken apart has it") {
    constexpr std::size_t one_chunk = shm::chunk_size;
    disturb_everywhere<WarmRun>([](WarmRun& stage) { stage.take(one_chunk); },
                                [](WarmRun& stage) { stage.dead->heap().trim(); },
                                [](WarmRun& stage) { stage.check(one_chunk); });
}

// ---- channels ----------------------------------------------------------------------------------

TEST_CASE("a channel says why, then that it is closed, then its rings end, then all are woken") {
    for (const bool by_death : {false, true}) {
        ChannelStage stage(by_death ? TestSession::dead_id : 1);
        ChannelHead& head = stage.head();
        head.takers.set(TestSession::alive_owner.slot, order);
        bool without_words = false, ended_early = false, woken_early = false;
        {
            const Watch watch([&](int, const void*) {
                const bool open = stage.channel->state() == ChannelState::open;
                const bool ended = stage.ring().end() != 0;
                without_words |= !open && head.exception.load(order) == 0;
                ended_early |= ended && open;
                woken_early |= !head.takers.test(TestSession::alive_owner.slot, order) && !ended;
            });
            const auto record = ship::process_exited_record(TestSession::dead_id, "it ended");
            if (by_death)
                bury_with_successor(stage);
            else
                stage.channel->close(&record);
        }
        CHECK(stage.ring().end() != 0);
        CHECK(!without_words);
        CHECK(!ended_early);
        CHECK(!woken_early);
    }
}

TEST_CASE("a message that is there has a block of the channel's, which its cell has named before") {
    TestSession session;
    const Channel::Shape shape{4, sizeof(Item), true, 1};
    const ObjectHandle object(Channel::bytes(shape), {.kind = object_kind::channel});
    auto* const start = static_cast<std::byte*>(object.address());
    Channel::make(start, shape);
    Channel channel(*session.launcher, object.object());
    const shm::Offset block =
        session.launcher->heap().allocate(large, shm::Tag::own(TestSession::launcher_owner)).offset;
    const Channel::Cursor cell(ring_behind(Channel::head_in(start)).cells(), 0);
    const auto named = [&] {
        Item item;
        std::memcpy(&item, cell.payload(), sizeof item);
        return item.block == block;
    };
    bool without_block = false, unnamed = false;
    {
        const Watch watch([&](int, const void*) {
            const bool handed_over = session.master->heap().tag_of(block) == channel.tag();
            without_block |= channel.has_message() && !handed_over;
            unnamed |= handed_over && !named();
        });
        std::uint64_t position = 0;
        const Item item{block, 0, large, 0, TestSession::launcher_owner.slot};
        REQUIRE(channel.try_put_item(item, position) == Channel::Put::done);
    }
    CHECK(channel.has_message());
    CHECK(!without_block);
    CHECK(!unnamed);
}

TEST_CASE("a channel that is bound to one that dies meanwhile closes") {
    disturb_everywhere<ChannelStage>(
        [](ChannelStage& stage) { bury_with_successor(stage); },
        [](ChannelStage& stage) { stage.channel->bind(TestSession::dead_id); },
        [](ChannelStage& stage) { CHECK(stage.channel->state() == ChannelState::closed); });
}

TEST_CASE("nothing is left of a channel whose last holder lets go while its owner is buried") {
    struct Stage : TestSession {
        shm::ObjectTable::Ref object;
        Stage() {
            const Channel::Shape shape = shape_of_channel(dead_id);
            object = alive->objects().create(Channel::bytes(shape), {.kind = object_kind::channel});
            Channel::make(segment.base() + alive->objects().view(object).block, shape);
        }
    };
    disturb_everywhere<Stage>([](Stage& stage) { stage.alive->objects().release(stage.object); },
                              bury_with_successor,
                              [](Stage& stage) {
                                  CHECK(!stage.launcher->objects().is_live(stage.object));
                                  CHECK(stage.blocks() == 0);
                              });
}
