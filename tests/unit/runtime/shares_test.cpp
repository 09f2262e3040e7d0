// Tasks whose futures several processes hold: who frees them, and what is left when holders die in
// the middle of taking or leaving their share.

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "dshm/runtime/payload.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::TestSession;

namespace {

constexpr std::size_t large = 10'000;

// A task of the master that `alive` has ended, with a block as its result.
TaskRef ended_task(TestSession& session, Process& spawner, TaskPhase phase = TaskPhase::done) {
    const TaskRef task = TestSession::queue(spawner, 0, true, 16);
    TaskTable& tasks = session.alive->tasks();
    REQUIRE(tasks.claim(entry_of(task)));
    TestSession::write(*session.alive, task, shm::Tag::result(task.index, task.generation), large);
    tasks.record(task).result = ResultForm::value;
    tasks.finish(task, phase);
    return task;
}

TaskRef open_future(Process& process, WorkerId owner) {
    const TaskRef task = TestSession::fill(process, owner, true, 0);
    process.tasks().publish_open(task);
    return task;
}

} // namespace

TEST_CASE("the last of several holders frees the task, in whatever order they leave") {
    for (const bool origin_first : {false, true}) {
        TestSession session;
        const TaskRef task = ended_task(session, *session.master);
        session.master->tasks().allow_shares(task);
        REQUIRE(session.alive->holdings().acquire(task));
        REQUIRE(session.dead->holdings().acquire(task));
        REQUIRE(session.dead->holdings().acquire(task)); // a second handle, the same share
        session.dead->holdings().drop(task);
        (origin_first ? session.master : session.alive)->holdings().drop(task);
        (origin_first ? session.alive : session.master)->holdings().drop(task);
        CHECK(session.phase(task) == TaskPhase::done);
        CHECK(session.blocks() == 1);
        session.dead->holdings().drop(task);
        CHECK(session.phase(task) == TaskPhase::free);
        CHECK(session.blocks() == 0);
        CHECK(!session.alive->holdings().acquire(task));
        CHECK(session.master->tasks().record(task).holders.empty(std::memory_order_relaxed));
    }
}

TEST_CASE("the origin may let go and hold again") {
    TestSession session;
    const TaskRef task = ended_task(session, *session.master);
    session.master->tasks().allow_shares(task);
    REQUIRE(session.alive->holdings().acquire(task));
    session.master->holdings().drop(task);
    REQUIRE(session.master->holdings().acquire(task));
    session.alive->holdings().drop(task);
    CHECK(session.phase(task) == TaskPhase::done);
    session.master->holdings().drop(task);
    CHECK(session.phase(task) == TaskPhase::free);
}

TEST_CASE("holders of a task that runs leave it to the one that ends it") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, true, 16);
    REQUIRE(session.alive->tasks().claim(entry_of(task)));
    session.master->tasks().allow_shares(task);
    REQUIRE(session.dead->holdings().acquire(task));
    session.master->holdings().drop(task);
    session.dead->holdings().drop(task);
    CHECK(session.phase(task) == TaskPhase::running);
    session.alive->tasks().finish(task, TaskPhase::done);
    CHECK(session.alive->tasks().unheld(task));
}

TEST_CASE("waiting holders are rung by the bit of their slot") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, true, 16);
    REQUIRE(session.launcher->tasks().claim(entry_of(task)));
    session.master->tasks().allow_shares(task);
    REQUIRE(session.alive->holdings().acquire(task));
    session.alive->tasks().announce_waiting(task);
    session.master->tasks().announce_waiting(task);
    session.alive->area().bell.arm();
    session.master->area().bell.arm();
    session.dead->area().bell.arm();
    TaskTable& tasks = session.launcher->tasks();
    session.launcher->scheduler().ring_waiters(task, tasks.finish(task, TaskPhase::done));
    CHECK(!session.alive->area().bell.ring()); // rung already
    CHECK(!session.master->area().bell.ring());
    CHECK(session.dead->area().bell.ring());
}

TEST_CASE("the share of a dead holder goes, and with the last one the record") {
    TestSession session;
    const TaskRef alone = ended_task(session, *session.master);
    const TaskRef together = ended_task(session, *session.master);
    const TaskRef of_dead = ended_task(session, *session.dead);
    for (const TaskRef task : {alone, together}) {
        session.master->tasks().allow_shares(task);
        REQUIRE(session.dead->holdings().acquire(task));
    }
    session.dead->tasks().allow_shares(of_dead);
    REQUIRE(session.alive->holdings().acquire(of_dead));
    session.master->holdings().drop(alone);
    session.bury();
    CHECK(session.phase(alone) == TaskPhase::free);
    CHECK(session.phase(together) == TaskPhase::done);
    CHECK(session.phase(of_dead) == TaskPhase::done);
    session.master->holdings().drop(together);
    session.alive->holdings().drop(of_dead);
    CHECK(session.blocks() == 0);
}

TEST_CASE("a holder that died between leaving and freeing, or in the middle of taking") {
    TestSession session;
    const TaskRef left = ended_task(session, *session.master);
    session.master->tasks().allow_shares(left);
    REQUIRE(session.dead->holdings().acquire(left));
    session.master->holdings().drop(left);
    session.dead->tasks().leave_share(left); // and died before it looked who is left
    const TaskRef taking = ended_task(session, *session.master);
    session.master->tasks().allow_shares(taking);
    session.master->tasks().record(taking).holders.set(TestSession::dead_owner.slot,
                                                       std::memory_order_seq_cst);
    session.bury(); // it had not counted its share yet
    CHECK(session.phase(left) == TaskPhase::free);
    CHECK(session.phase(taking) == TaskPhase::done);
    CHECK(session.master->tasks().record(taking).holders.empty(std::memory_order_relaxed));
    session.master->holdings().drop(taking);
    CHECK(session.phase(taking) == TaskPhase::free);
}

TEST_CASE("open futures of a dead owner fail, of a dead holder are free or stay") {
    TestSession session;
    const TaskRef owned = open_future(*session.master, TestSession::dead_id);
    const TaskRef alone = open_future(*session.dead, TestSession::dead_id);
    const TaskRef passed_on = open_future(*session.dead, 1);
    session.dead->tasks().allow_shares(passed_on);
    REQUIRE(session.alive->holdings().acquire(passed_on));
    session.bury();
    CHECK(session.phase(owned) == TaskPhase::failed);
    CHECK(session.phase(alone) == TaskPhase::free);
    CHECK(session.phase(passed_on) == TaskPhase::open);
    session.master->holdings().observe(owned);
    session.master->holdings().drop(owned);
    session.alive->holdings().drop(passed_on);
    CHECK(session.phase(passed_on) == TaskPhase::free);
}

TEST_CASE("a future that only a dead process's payload held is kept for who reads that") {
    TestSession session;
    const TaskRef inner = ended_task(session, *session.dead);
    session.dead->tasks().allow_shares(inner);
    ship::HandleList handles;
    handles.add(handle_of(inner));
    const TaskRef call = TestSession::fill(*session.dead, TestSession::alive_id, false, 16);
    {
        PayloadRoom room(session.dead->tasks(), call,
                         shm::Tag::argument(call.index, call.generation), {16, 8});
        room.close(16, handles);
    }
    session.dead->holdings().pin(call, handles.view(), Holdings::PinUntil::ended);
    session.dead->tasks().publish(call);
    session.dead->holdings().drop(inner);
    session.bury();
    CHECK(session.phase(inner) == TaskPhase::done);
    REQUIRE(session.alive->tasks().claim(entry_of(call)));
    REQUIRE(session.alive->holdings().acquire(inner));
    session.alive->tasks().finish(call, TaskPhase::done);
    session.alive->tasks().free_finished(call);
    session.recovery->retry(); // the launcher lets go of what it took over
    CHECK(session.phase(inner) == TaskPhase::done);
    session.alive->holdings().drop(inner);
    CHECK(session.phase(inner) == TaskPhase::free);
}

TEST_CASE("a kept call outlives its author, with what it holds") {
    TestSession session;
    const TaskRef inner = ended_task(session, *session.dead);
    session.dead->tasks().allow_shares(inner);
    ship::HandleList handles;
    handles.add(handle_of(inner));
    const TaskRef call = TestSession::fill(*session.dead, 0, false, 16);
    PayloadRoom room(session.dead->tasks(), call, shm::Tag::argument(call.index, call.generation),
                     {16, 8});
    room.close(16, handles);
    session.dead->holdings().pin(call, handles.view(), Holdings::PinUntil::ended);
    session.dead->tasks().publish_kept(call);
    session.dead->holdings().drop(inner);
    session.bury();
    session.recovery->retry();
    CHECK(session.phase(call) == TaskPhase::kept);
    CHECK(session.phase(inner) == TaskPhase::done);
    CHECK(session.alive->holdings().acquire(inner));
}

// One share wanders through slots of all words of the mask, each taken under the one before, while
// somebody asks again and again whether nobody holds the task.
TEST_CASE("a share that moves from word to word is seen all the time") {
    TestSession session;
    const TaskRef task = TestSession::queue(*session.master, 0, true, 16);
    session.master->tasks().allow_shares(task);
    std::vector<std::unique_ptr<TaskTable>> holders;
    for (const std::uint8_t slot : {3, 70, 140, 250})
        holders.push_back(std::make_unique<TaskTable>(session.segment, session.alive->heap(),
                                                      shm::Owner{slot, 1}));
    REQUIRE(holders[0]->take_share(task));
    session.master->tasks().leave_share(task);
    std::atomic<bool> over = false;
    std::thread wanderer([&] {
        for (std::size_t step = 0; step < 1'000'000; ++step) {
            // Downwards: against the order in which the words are read.
            const std::size_t from = (4 - step % 4) % 4, to = (from + 3) % 4;
            holders[to]->take_share(task);
            holders[from]->leave_share(task);
        }
        over = true;
    });
    std::size_t lost = 0;
    while (!over)
        lost += session.alive->tasks().unheld(task) ? 1 : 0;
    wanderer.join();
    CHECK(lost == 0);
}
