// What the launcher makes of the states that a process may die in, each written by hand. Every burial is done twice.

#include "catch.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/payload.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::contains;
using dshm::test::TestSession;

namespace {

constexpr std::size_t small = 16, large = 10'000;

std::string failure_text(const TestSession& session, TaskRef task) {
    const TaskRecord& record = session.master->tasks().record(task);
    try {
        std::rethrow_exception(failure_of(
            {TaskPhase::failed, record.result, payload_bytes(session.master->tasks(), record)}));
    } catch (const ProcessExitedException& error) {
        return std::to_string(error.pid()) + ": " + error.what();
    } catch (...) {
        return "another exception";
    }
}

// The task as an idle process would find it: in whatever ring it may look at.
std::optional<TaskRef> found_by(TestSession& session, Process& process) {
    const auto look_in = [&](auto& ring) -> std::optional<TaskRef> {
        while (const auto front = ring.peek()) {
            const auto task = process.tasks().claim(front->entry);
            ring.advance(front->position);
            if (task)
                return task;
        }
        return std::nullopt;
    };
    if (const auto task = look_in(process.area().inbox))
        return task;
    for (unsigned slot = 0; slot < 4; ++slot)
        if (process.header().ready.test(slot, std::memory_order_seq_cst))
            if (const auto task = look_in(session.table.area(slot).ready))
                return task;
    return std::nullopt;
}

} // namespace

TEST_CASE("filling: the record and its block are free again") {
    for (const std::size_t size : {small, large}) {
        TestSession session;
        const auto before = session.blocks();
        const TaskRef bare =
            *session.dead->tasks().reserve(); // nothing written yet: the fields are the last user's
        session.dead->tasks().record(bare).form = PayloadForm::block;
        const TaskRef task = TestSession::fill(*session.dead, 3, true, size);
        session.bury();
        CHECK(session.phase(task) == TaskPhase::free);
        CHECK(session.phase(bare) == TaskPhase::free);
        CHECK(session.blocks() == before);
        CHECK(session.launcher->tasks().state(task).generation == task.generation + 1);
    }
}

TEST_CASE("filling by another is let be") {
    TestSession session;
    const TaskRef task = TestSession::fill(*session.alive, 2, true, large);
    session.bury();
    CHECK(session.phase(task) == TaskPhase::filling);
    CHECK(session.blocks() == 1);
}

TEST_CASE("queued by the dead, in no ring: it is put where it belongs") {
    TestSession session;
    const TaskRef anyone = TestSession::queue(*session.dead, 0, false, large);
    const TaskRef for_alive =
        TestSession::queue(*session.dead, TestSession::alive_id, false, small);
    const TaskRef for_master = TestSession::queue(*session.dead, 1, false, small);
    session.bury();
    CHECK(found_by(session, *session.alive) == for_alive);
    CHECK(found_by(session, *session.alive) == anyone);
    CHECK(!found_by(session, *session.alive));
    CHECK(found_by(session, *session.master) == for_master);
    CHECK(session.blocks() == 1); // the argument is still there
}

TEST_CASE("queued in the ready ring of the dead: it is stolen as ever, once") {
    TestSession session;
    const TaskRef spawned = TestSession::queue(*session.dead, 0, false, small);
    const TaskRef stolen = TestSession::queue(*session.master, 0, true, small);
    session.dead->area().ready.put(entry_of(spawned));
    session.dead->area().ready.put(
        entry_of(stolen)); // died before it said that its ring has something
    session.bury();
    std::vector<TaskRef> found;
    while (const auto task = found_by(session, *session.alive))
        found.push_back(*task);
    CHECK(found.size() == 2);
    CHECK(session.phase(stolen) == TaskPhase::running);
    CHECK(session.phase(spawned) == TaskPhase::running);
}

TEST_CASE("queued for the dead: it fails, says that it had not started, and its argument goes") {
    TestSession session;
    const auto before = session.blocks();
    const TaskRef held = TestSession::queue(*session.master, TestSession::dead_id, true, large);
    const TaskRef in_inbox = TestSession::queue(*session.master, TestSession::dead_id, true, small);
    session.dead->area().inbox.put(entry_of(in_inbox));
    const TaskRef dropped = TestSession::queue(*session.master, TestSession::dead_id, false, large);
    session.bury();
    for (const TaskRef task : {held, in_inbox}) {
        CHECK(session.phase(task) == TaskPhase::failed);
        CHECK_THAT(failure_text(session, task), contains("SIGKILL"));
        CHECK_THAT(failure_text(session, task), contains("before it ran"));
    }
    CHECK(session.phase(dropped) == TaskPhase::free);
    CHECK(session.blocks() == before);
}

TEST_CASE("running by the dead with its arguments: it fails, says that it was running, and the "
          "arguments go") {
    for (const std::size_t size : {small, large}) {
        TestSession session;
        const auto before = session.blocks();
        const TaskRef held = TestSession::queue(*session.master, 0, true, size);
        const TaskRef dropped = TestSession::queue(*session.master, 0, false, size);
        for (const TaskRef task : {held, dropped})
            REQUIRE(session.dead->tasks().claim(entry_of(task)));
        session.bury();
        CHECK(session.phase(held) == TaskPhase::failed);
        CHECK_THAT(failure_text(session, held), contains("SIGKILL"));
        CHECK_THAT(failure_text(session, held), contains("while running"));
        CHECK(session.phase(dropped) == TaskPhase::free);
        CHECK(session.blocks() == before);
    }
}

TEST_CASE("running by the dead with a half-made result: both blocks go") {
    TestSession session;
    const auto before = session.blocks();
    const TaskRef both = TestSession::queue(*session.master, 0, true, large);
    REQUIRE(session.dead->tasks().claim(entry_of(both)));
    // The result's block is taken and named in the record, the argument's is not yet freed.
    TestSession::write(*session.dead, both, shm::Tag::result(both.index, both.generation), large);
    const TaskRef tagged = TestSession::queue(*session.master, 0, true, large);
    REQUIRE(session.dead->tasks().claim(entry_of(tagged)));
    // Or taken, tagged, and not named yet.
    session.dead->heap().allocate(large, shm::Tag::result(tagged.index, tagged.generation));
    CHECK(session.blocks() == before + 4);
    session.bury();
    CHECK(session.phase(both) == TaskPhase::failed);
    CHECK(session.phase(tagged) == TaskPhase::failed);
    CHECK(session.blocks() == before);
}

TEST_CASE("running by another is let be, whoever spawned it") {
    TestSession session;
    const TaskRef mine = TestSession::queue(*session.master, 0, true, large);
    const TaskRef of_dead = TestSession::queue(*session.dead, 0, true, large);
    for (const TaskRef task : {mine, of_dead})
        REQUIRE(session.alive->tasks().claim(entry_of(task)));
    session.bury();
    CHECK(session.phase(mine) == TaskPhase::running);
    CHECK(session.phase(of_dead) == TaskPhase::running);
    CHECK(session.blocks() == 2);
    // Nobody holds it any more: whoever ends it frees it.
    const std::uint64_t word = session.alive->tasks().finish(of_dead, TaskPhase::done);
    CHECK((word & control::held) == 0);
}

TEST_CASE("finished by the dead: a result that is held stays, one that nobody holds is freed") {
    TestSession session;
    const auto before = session.blocks();
    const TaskRef held = TestSession::queue(*session.master, 0, true, small);
    const TaskRef dropped = TestSession::queue(*session.master, 0, false, small);
    for (const TaskRef task : {held, dropped}) {
        REQUIRE(session.dead->tasks().claim(entry_of(task)));
        TestSession::write(*session.dead, task, shm::Tag::result(task.index, task.generation),
                           large);
        session.dead->tasks().record(task).result = ResultForm::value;
        session.dead->tasks().finish(task, TaskPhase::done); // died before it freed it
    }
    session.bury();
    CHECK(session.phase(held) == TaskPhase::done);
    CHECK(session.phase(dropped) == TaskPhase::free);
    CHECK(session.blocks() == before + 1);
    session.master->holdings().drop(held);
    CHECK(session.blocks() == before);
}

TEST_CASE("finished and being freed by the dead: the record and its block are freed") {
    TestSession session;
    const auto before = session.blocks();
    for (const bool block_gone : {false, true}) {
        const TaskRef task = TestSession::queue(*session.dead, 0, true, small);
        REQUIRE(session.alive->tasks().claim(entry_of(task)));
        TestSession::write(*session.alive, task, shm::Tag::result(task.index, task.generation),
                           large);
        session.alive->tasks().record(task).result = ResultForm::value;
        session.alive->tasks().finish(task, TaskPhase::done);
        REQUIRE(session.dead->tasks().claim_finished(task));
        if (block_gone)
            session.dead->heap().free(
                session.dead->tasks().block_of(session.dead->tasks().record(task)),
                shm::Tag::result(task.index, task.generation));
    }
    session.bury();
    CHECK(session.blocks() == before);
}

TEST_CASE("held by the dead: what has ended is freed, what is queued or runs is held no more") {
    TestSession session;
    const auto before = session.blocks();
    const TaskRef ended = TestSession::queue(*session.dead, 0, true, small);
    REQUIRE(session.alive->tasks().claim(entry_of(ended)));
    TestSession::write(*session.alive, ended, shm::Tag::result(ended.index, ended.generation),
                       large);
    session.alive->tasks().record(ended).result = ResultForm::value;
    session.alive->tasks().finish(ended, TaskPhase::done);
    const TaskRef waiting = TestSession::queue(*session.dead, TestSession::alive_id, true, small);
    session.alive->area().inbox.put(entry_of(waiting));
    session.bury();
    CHECK(session.phase(ended) == TaskPhase::free);
    CHECK(session.blocks() == before);
    CHECK(session.phase(waiting) == TaskPhase::queued);
    CHECK((session.master->tasks().record(waiting).control.load(std::memory_order_relaxed) &
           control::held) == 0);
}

TEST_CASE("open futures: those of the dead are free, those that it was putting fail or are free") {
    TestSession session;
    const auto open = [](Process& process) {
        const TaskRef task = TestSession::fill(process, 0, true, 0);
        process.tasks().publish_open(task);
        return task;
    };
    const TaskRef of_dead = open(*session.dead);
    const TaskRef of_master = open(*session.master);
    const TaskRef being_put = open(*session.master);
    const TaskRef own_put = open(*session.dead);
    REQUIRE(session.dead->tasks().claim_open(being_put));
    REQUIRE(session.dead->tasks().claim_open(own_put));
    session.bury();
    CHECK(session.phase(of_dead) == TaskPhase::free);
    CHECK(session.phase(own_put) == TaskPhase::free);
    CHECK(session.phase(of_master) == TaskPhase::open);
    CHECK(session.phase(being_put) == TaskPhase::failed);
}

TEST_CASE("objects held by the dead go, those of others and those under way stay") {
    TestSession session;
    using Ref = shm::ObjectTable::Ref;
    const Ref alone = session.dead->objects().create(5000, {});
    const Ref shared = session.dead->objects().create(5000, {});
    REQUIRE(session.alive->objects().acquire(shared));
    // Pinned by the dead alone, for an argument that somebody will read.
    const Ref under_way = session.dead->objects().create(5000, {});
    ship::HandleList handles;
    handles.add({1, under_way.index, under_way.generation});
    const TaskRef task = TestSession::fill(*session.dead, TestSession::alive_id, false, small);
    {
        ship::Footprint need{};
        need.size = small;
        PayloadRoom room(session.dead->tasks(), task,
                         shm::Tag::argument(task.index, task.generation), need);
        room.close(small, handles);
    }
    session.dead->holdings().pin(task, handles.view(), Holdings::PinUntil::ended);
    session.dead->tasks().publish(task);
    session.dead->objects().release(under_way);
    // And a result that nobody has fetched.
    const Ref returned = session.dead->objects().create(5000, {});
    ship::HandleList result_handles;
    result_handles.add({1, returned.index, returned.generation});
    const TaskRef ended = TestSession::queue(*session.master, 0, true, small);
    REQUIRE(session.dead->tasks().claim(entry_of(ended)));
    {
        ship::Footprint need{};
        need.size = large;
        PayloadRoom room(session.dead->tasks(), ended,
                         shm::Tag::result(ended.index, ended.generation), need);
        room.close(large, result_handles);
    }
    session.dead->tasks().record(ended).result = ResultForm::value;
    session.dead->tasks().finish(ended, TaskPhase::done);

    session.bury();
    shm::ObjectTable& objects = session.alive->objects();
    CHECK(!objects.is_live(alone));
    CHECK(objects.is_live(shared));
    REQUIRE(objects.is_live(under_way));
    REQUIRE(objects.is_live(returned));

    // The receiver gets the object; when the task has ended and the handle is gone, so is the object.
    REQUIRE(found_by(session, *session.alive) == task);
    CHECK(objects.acquire(under_way));
    session.alive->tasks().finish(task, TaskPhase::done);
    session.alive->tasks().free_finished(task);
    session.recovery->retry();
    CHECK(objects.is_live(under_way));
    objects.release(under_way);
    CHECK(!objects.is_live(under_way));
    // The fetcher the same.
    session.master->holdings().drop(ended);
    session.recovery->retry();
    CHECK(!objects.is_live(returned));
    objects.release(shared);
    CHECK(session.blocks() == 0);
}

TEST_CASE("blocks and hints of the dead go") {
    TestSession session;
    shm::Header& header = session.segment.header();
    session.dead->heap().allocate(large, shm::Tag::own(TestSession::dead_owner));
    header.parked.set(2, std::memory_order_seq_cst);
    header.searching.set(2, std::memory_order_seq_cst);
    header.long_spinner.store(3, std::memory_order_seq_cst);
    const std::uint64_t epoch = header.membership_epoch.load(std::memory_order_seq_cst);
    session.bury();
    CHECK(session.blocks() == 0);
    CHECK(!header.parked.test(2, std::memory_order_seq_cst));
    CHECK(!header.searching.test(2, std::memory_order_seq_cst));
    CHECK(header.long_spinner.load(std::memory_order_seq_cst) == 0);
    CHECK(header.membership_epoch.load(std::memory_order_seq_cst) > epoch);
}

TEST_CASE("a burial where nothing is wrong changes nothing") {
    TestSession session;
    const TaskRef queued = TestSession::queue(*session.master, TestSession::alive_id, true, large);
    const TaskRef running = TestSession::queue(*session.master, 0, true, large);
    REQUIRE(session.alive->tasks().claim(entry_of(running)));
    const TaskRef filling = TestSession::fill(*session.alive, 0, true, large);
    session.bury();
    CHECK(session.phase(queued) == TaskPhase::queued);
    CHECK(session.phase(running) == TaskPhase::running);
    CHECK(session.phase(filling) == TaskPhase::filling);
    CHECK(session.blocks() == 3);
}

TEST_CASE("what does not fit into a ring is put later") {
    TestSession session;
    std::vector<TaskRef> tasks;
    auto& inbox = session.alive->area().inbox;
    while (inbox.put({0xffff, 0}) == queue::PutResult::done) {
    }
    for (int i = 0; i < 10; ++i)
        tasks.push_back(TestSession::queue(*session.dead, TestSession::alive_id, false, small));
    session.bury();
    CHECK(session.recovery->has_leftovers());
    while (const auto front = inbox.peek())
        inbox.advance(front->position);
    session.recovery->retry();
    CHECK(!session.recovery->has_leftovers());
    std::size_t found = 0;
    while (found_by(session, *session.alive))
        ++found;
    CHECK(found == tasks.size());
}
