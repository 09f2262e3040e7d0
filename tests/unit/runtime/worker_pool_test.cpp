// A pool in a session whose processes are played by the test: what a death finds half-done, and the
// worker that the end of a task gives back.
#include "catch.hpp"

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/worker_pool.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::contains;
using dshm::test::TestSession;

namespace {

// A pool of `dead` and `alive`, held by the launcher, through the eyes of each process.
struct Stage {
    TestSession session;
    ObjectHandle object = Pool::make(); // of the process made last
    Pool dead{*session.dead, object}, alive{*session.alive, object},
        launcher{*session.launcher, object};

    Stage() {
        launcher.add(TestSession::alive_owner);
        launcher.add(TestSession::dead_owner);
    }
    queue::MemberState state(shm::Owner member) {
        return launcher.head().members.state(member.slot);
    }
};

} // namespace

TEST_CASE("workers taken by the dead are free, and it is no member any more") {
    Stage stage;
    const auto taken = stage.dead.try_take();
    REQUIRE((taken && taken->worker.id == TestSession::alive_id));
    stage.dead.head().waiters.set(TestSession::dead_owner.slot, std::memory_order_seq_cst);
    CHECK(stage.alive.try_take()->worker.id == TestSession::dead_id);
    CHECK(!stage.alive.has_free());
    stage.session.bury();
    CHECK(stage.alive.members() == std::vector<WorkerId>{TestSession::alive_id});
    CHECK(stage.state(TestSession::dead_owner).phase() == queue::MemberPhase::absent);
    CHECK(stage.launcher.head().waiters.empty(std::memory_order_seq_cst));
    CHECK(stage.alive.has_free());
}

TEST_CASE("the dead are not offered before anybody has recovered them") {
    Stage stage;
    stage.session.table.set_life(TestSession::dead_owner.slot,
                                 {LifePhase::exiting, 1, TestSession::dead_id});
    CHECK(stage.alive.members() == std::vector<WorkerId>{TestSession::alive_id});
    CHECK(stage.alive.try_take()->worker.id == TestSession::alive_id);
    CHECK(!stage.alive.try_take());
    stage.session.table.set_life(TestSession::alive_owner.slot,
                                 {LifePhase::exiting, 1, TestSession::alive_id});
    CHECK(!stage.alive.has_free());
    CHECK_THROWS_WITH(stage.alive.try_take(), contains("No active worker available in pool"));
}

TEST_CASE("a task that was cancelled before it began gives its worker back") {
    Stage stage;
    const auto taken = stage.dead.try_take();
    const auto member = taken->worker;
    const TaskRef task =
        send_pooled_call(*stage.session.dead, member, stage.dead.place_of(*taken), [] {});
    stage.dead.hand_over(*taken);
    CHECK(stage.state(member.owner).holder() == member.owner);
    REQUIRE(stage.session.master->tasks().claim_queued(task));
    fail_task(*stage.session.master, task, std::make_exception_ptr(std::runtime_error("no")));
    CHECK(stage.state(member.owner).phase() == queue::MemberPhase::free);
}

TEST_CASE("the death of the sender leaves the worker to its task") {
    Stage stage;
    const auto taken = stage.dead.try_take();
    const TaskRef task =
        send_pooled_call(*stage.session.dead, taken->worker, stage.dead.place_of(*taken), [] {});
    stage.dead.hand_over(*taken);
    stage.session.bury();
    CHECK(stage.state(TestSession::alive_owner).phase() == queue::MemberPhase::taken);
    REQUIRE(stage.session.alive->tasks().claim_queued(task));
    fail_task(*stage.session.alive, task, std::make_exception_ptr(std::runtime_error("no")));
    CHECK(stage.state(TestSession::alive_owner).phase() == queue::MemberPhase::free);
}

TEST_CASE("a task whose sender died before it handed the worker over changes nothing later") {
    Stage stage;
    const auto taken = stage.dead.try_take();
    const TaskRef task =
        send_pooled_call(*stage.session.dead, taken->worker, stage.dead.place_of(*taken), [] {});
    stage.session.bury(); // frees it
    const auto again = stage.launcher.try_take();
    REQUIRE((again && again->worker.id == TestSession::alive_id));
    REQUIRE(stage.session.alive->tasks().claim_queued(task));
    fail_task(*stage.session.alive, task, std::make_exception_ptr(std::runtime_error("no")));
    CHECK(stage.state(TestSession::alive_owner).holder() == TestSession::launcher_owner);
}

TEST_CASE("whoever cancels a task dies before it gave the worker back, or just after") {
    for (const bool given_back : {false, true}) {
        Stage stage;
        const auto taken = stage.launcher.try_take();
        REQUIRE((taken && taken->worker.id == TestSession::alive_id));
        const TaskRef task = send_pooled_call(*stage.session.launcher, taken->worker,
                                              stage.launcher.place_of(*taken), [] {});
        stage.launcher.hand_over(*taken);
        REQUIRE(stage.session.dead->tasks().claim_queued(task));
        if (given_back) { // and taken by somebody else since
            give_back_worker(*stage.session.dead, task);
            CHECK(stage.launcher.try_take()->worker.id == TestSession::dead_id);
            CHECK(stage.launcher.try_take()->worker.id == TestSession::alive_id);
        }
        stage.session.bury();
        CHECK(stage.session.phase(task) != TaskPhase::running);
        CHECK(stage.state(TestSession::alive_owner).phase() ==
              (given_back ? queue::MemberPhase::taken : queue::MemberPhase::free));
    }
}

TEST_CASE("a task outlives its pool") {
    Stage stage;
    const auto taken = stage.launcher.try_take();
    const TaskRef task = send_pooled_call(*stage.session.launcher, taken->worker,
                                          stage.launcher.place_of(*taken), [] {});
    const auto objects = stage.session.launcher->objects().live_count();
    stage.object = ObjectHandle();
    CHECK(stage.session.launcher->objects().live_count() == objects - 1);
    REQUIRE(stage.session.alive->tasks().claim_queued(task));
    fail_task(*stage.session.alive, task, std::make_exception_ptr(std::runtime_error("no")));
    CHECK(stage.session.launcher->objects().live_count() == objects - 1);
}
