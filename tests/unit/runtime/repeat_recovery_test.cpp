// What the launcher makes of tasks whose worker has died, in a session that replaces workers: begun
// anew, handed over, or failed. Each state is written by hand, and each burial is done twice.

#include "catch.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/payload.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::TestSession;

namespace {

constexpr std::size_t small = 16, large = 10'000;

// The worker in row 3 has just been started in the place of that in row 2.
Death death() {
    Death death{TestSession::dead_owner, TestSession::dead_id, 12345, 9};
    death.repeats = true;
    death.successor = {TestSession::alive_id, TestSession::alive_owner};
    return death;
}

struct Session : TestSession {
    void bury_as(const Death& death) {
        table.set_life(dead_owner.slot, {LifePhase::dead, dead_owner.incarnation, dead_id});
        for (int pass = 0; pass < 2; ++pass)
            recovery->bury(death);
    }
    // A task of the master's that may be begun anew, for anyone (0) or one worker.
    TaskRef call(WorkerId target, std::size_t payload) {
        const TaskRef task = fill(*master, target, true, payload);
        TaskRecord& record = master->tasks().record(task);
        record.control.fetch_or(control::repeatable, std::memory_order_relaxed);
        record.result = ResultForm::none;
        master->tasks().publish(task);
        return task;
    }
    // The same, begun by the one that dies.
    TaskRef running(WorkerId target, std::size_t payload) {
        const TaskRef task = call(target, payload);
        REQUIRE(dead->tasks().claim(entry_of(task)));
        return task;
    }
    // As who has been found dead already, with a worker in its place.
    void bury_and_say_who_comes() {
        Obituary& obituary = table.obituary(dead_id);
        obituary.wait_status = 9;
        obituary.successor = alive_id;
        obituary.key.store(static_cast<std::uint64_t>(dead_id), std::memory_order_release);
        bury_as(death());
    }
    unsigned attempt(TaskRef task) const { return launcher->tasks().state(task).attempt; }
    WorkerId target(TaskRef task) const {
        return static_cast<WorkerId>(control::Target::get(
            launcher->tasks().record(task).control.load(std::memory_order_relaxed)));
    }
};

// Entries in a ring that stand for the task.
template <class Ring>
std::size_t entries_of(TaskRef task, Ring& ring) {
    std::size_t count = 0;
    while (const auto front = ring.peek()) {
        count += front->entry.index == entry_of(task).index;
        ring.advance(front->position);
    }
    return count;
}

} // namespace

TEST_CASE("running, for anyone: it is for anyone again, with its arguments, once") {
    for (const std::size_t size : {small, large}) {
        Session session;
        const TaskRef task = session.running(0, size);
        const auto before = session.blocks();
        session.bury_as(death());
        CHECK(session.phase(task) == TaskPhase::queued);
        CHECK(session.attempt(task) == 1);
        CHECK(session.blocks() == before);
        CHECK(entries_of(task, session.launcher->area().ready) == 1);
        CHECK(session.launcher->header().ready.test(shm::launcher_slot, std::memory_order_seq_cst));
        REQUIRE(session.alive->tasks().claim(entry_of(task)));
        CHECK(session.attempt(task) == 1);
    }
}

TEST_CASE("running or waiting for the dead one alone: it is for the successor") {
    Session session;
    const TaskRef begun = session.running(TestSession::dead_id, large);
    const TaskRef waiting = session.call(TestSession::dead_id, small);
    session.bury_as(death());
    for (const TaskRef task : {begun, waiting}) {
        CHECK(session.phase(task) == TaskPhase::queued);
        CHECK(session.target(task) == TestSession::alive_id);
    }
    CHECK(session.attempt(begun) == 1);
    CHECK(session.attempt(waiting) == 0);
    CHECK(entries_of(begun, session.alive->area().inbox) == 1);
}

TEST_CASE("a task that has ended too many workers fails, and says how many") {
    Session session;
    const TaskRef task = session.running(0, small);
    for (unsigned deaths = 1; deaths < most_attempts; ++deaths) {
        session.recovery->bury(death());
        REQUIRE(session.attempt(task) == deaths);
        REQUIRE(session.dead->tasks().claim(entry_of(task)));
    }
    session.bury_as(death());
    REQUIRE(session.phase(task) == TaskPhase::failed);
    const TaskRecord& record = session.master->tasks().record(task);
    try {
        std::rethrow_exception(failure_of(
            {TaskPhase::failed, record.result, payload_bytes(session.master->tasks(), record)}));
    } catch (const ProcessExitedException& error) {
        CHECK_THAT(error.what(), dshm::test::contains("3 workers"));
    }
}

TEST_CASE(
    "a task whose arguments are not whole, that was cancelled, or that its sender looks after "
    "fails") {
    Session session;
    const TaskRef answered = session.running(0, small);
    give_up_arguments(session.dead->tasks().record(answered));
    const TaskRef cancelled = session.running(0, small);
    session.master->tasks().record(cancelled).control.fetch_or(control::cancelled,
                                                               std::memory_order_relaxed);
    const TaskRef own = session.running(0, small);
    session.master->tasks().record(own).control.fetch_and(~control::repeatable,
                                                          std::memory_order_relaxed);
    session.bury_as(death());
    for (const TaskRef task : {answered, cancelled, own})
        CHECK(session.phase(task) == TaskPhase::failed);
}

TEST_CASE("with nobody in its place, or nobody left at all, it fails") {
    for (const bool some_left : {false, true}) {
        Session session;
        const TaskRef bound = session.running(TestSession::dead_id, small);
        const TaskRef free = session.running(0, small);
        const TaskRef fresh = session.call(0, small);
        Death alone = death();
        alone.successor.reset();
        alone.workers_left = some_left;
        session.bury_as(alone);
        CHECK(session.phase(bound) == TaskPhase::failed);
        CHECK(session.phase(free) == (some_left ? TaskPhase::queued : TaskPhase::failed));
        CHECK(session.phase(fresh) == (some_left ? TaskPhase::queued : TaskPhase::failed));
        // The last worker is removed: what has ended another one must not come to the master.
        if (some_left) {
            alone.repeats = alone.workers_left = false;
            session.recovery->bury(alone);
            CHECK(session.phase(free) == TaskPhase::failed);
            CHECK(session.phase(fresh) == TaskPhase::queued);
        }
    }
}

TEST_CASE("in a session that does not replace workers nothing is begun anew") {
    Session session;
    const TaskRef bound = session.call(TestSession::dead_id, small);
    const TaskRef free = session.running(0, small);
    session.bury();
    CHECK(session.phase(bound) == TaskPhase::failed);
    CHECK(session.phase(free) == TaskPhase::failed);
}

constexpr Membership::Member just_dead{TestSession::dead_id, TestSession::dead_owner};

TEST_CASE("what is sent to one whose burial is over goes to the successor, or fails") {
    Session session;
    session.bury_and_say_who_comes();
    const TaskRef task = session.call(TestSession::dead_id, small);
    const TaskRef own = session.call(TestSession::dead_id, small);
    session.master->tasks().record(own).control.fetch_and(~control::repeatable,
                                                          std::memory_order_relaxed);
    for (const TaskRef sent : {task, own})
        session.master->scheduler().send_to(just_dead, sent);
    CHECK(session.phase(task) == TaskPhase::queued);
    CHECK(session.target(task) == TestSession::alive_id);
    CHECK(session.attempt(task) == 0);
    CHECK(session.phase(own) == TaskPhase::failed);
    CHECK(entries_of(task, session.alive->area().inbox) == 1);
}

TEST_CASE("what the burial has given to the successor is not sent to it once more") {
    Session session;
    const TaskRef task = session.call(TestSession::dead_id, small);
    session.bury_as(death());
    const auto drain = [&] { return entries_of(task, session.alive->area().inbox); };
    REQUIRE(drain() == 1);
    session.bury_and_say_who_comes();
    session.master->scheduler().send_to(just_dead, task);
    CHECK(session.phase(task) == TaskPhase::queued);
    CHECK(drain() == 0);
}

TEST_CASE("a call for one that died since it was chosen is made for the successor") {
    Session session;
    session.bury_and_say_who_comes();
    const TaskRef task = send_call(*session.master, just_dead, true, [] {});
    CHECK(session.phase(task) == TaskPhase::queued);
    CHECK(session.target(task) == TestSession::alive_id);
    CHECK(entries_of(task, session.alive->area().inbox) == 1);
    CHECK_THROWS_AS(send_call_once(*session.master, just_dead, [] {}), ProcessExitedException);
}

TEST_CASE("the successor of a successor is found, and none where nobody lives") {
    Session session;
    const auto died = [&](WorkerId id, WorkerId successor) {
        Obituary& obituary = session.table.obituary(id);
        obituary.successor = successor;
        obituary.key.store(static_cast<std::uint64_t>(id), std::memory_order_release);
    };
    CHECK(!session.table.successor_of(40));
    died(40, 41);
    CHECK(!session.table.successor_of(40));
    died(41, TestSession::alive_id + 100); // never was
    CHECK(!session.table.successor_of(40));
    died(TestSession::dead_id, TestSession::alive_id);
    REQUIRE(session.table.successor_of(TestSession::dead_id));
    CHECK(session.table.successor_of(TestSession::dead_id)->owner == TestSession::alive_owner);
    died(1, TestSession::dead_id);
    session.table.set_life(TestSession::dead_owner.slot,
                           {LifePhase::dead, 1, TestSession::dead_id});
    const auto next = session.table.successor_of(1);
    REQUIRE(next);
    CHECK(next->id == TestSession::alive_id);
    died(42, 0);
    CHECK(!session.table.successor_of(42));
    died(43, 43); // damaged
    CHECK(!session.table.successor_of(43));
    session.table.obituary(50).successor = TestSession::alive_id + 50; // of another in its place
    session.table.set_life(TestSession::alive_owner.slot,
                           {LifePhase::running, 1, TestSession::alive_id + 50});
    CHECK(!session.table.successor_of(50));
}
