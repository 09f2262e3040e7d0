// The wait for any of some tasks: looks at a few of them at a time, and once it has found one it says so for good.

#include <vector>

#include "catch.hpp"
#include "dshm/runtime/map_plan.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::TestSession;

namespace {

std::vector<TaskRef> begun_tasks(TestSession& session, std::size_t count) {
    std::vector<TaskRef> tasks;
    for (std::size_t i = 0; i < count; ++i) {
        tasks.push_back(TestSession::queue(*session.master, 0, true, 16));
        REQUIRE(session.alive->tasks().claim(entry_of(tasks.back())));
    }
    return tasks;
}

// How often it must be asked until it is ready; no more than once for each task.
std::size_t looks(AnyTask& any, std::size_t most) {
    for (std::size_t asked = 1; asked <= most; ++asked)
        if (any.ready())
            return asked;
    return 0;
}

} // namespace

TEST_CASE("the one that has ended is found wherever it is, and found again by every further look") {
    for (std::size_t count = 1; count <= 12; ++count)
        for (std::size_t at = 0; at < count; ++at) {
            TestSession session;
            const std::vector<TaskRef> tasks = begun_tasks(session, count);
            AnyTask any(*session.master, tasks);
            CHECK(looks(any, count) == 0);
            session.alive->tasks().finish(tasks[at], TaskPhase::done);
            CHECK(looks(any, count) != 0);
            for (std::size_t again = 0; again < count; ++again) {
                CHECK(any.ready());
                CHECK(any.ended() == at);
            }
        }
}

TEST_CASE("before a sleep it looks at all of them") {
    TestSession session;
    const std::vector<TaskRef> tasks = begun_tasks(session, 100);
    AnyTask any(*session.master, tasks);
    any.about_to_sleep();
    CHECK(!any.ready());
    session.alive->tasks().finish(tasks[99], TaskPhase::done);
    CHECK(any.ready());
    CHECK(any.ended() == 99);
}

TEST_CASE("of no tasks none has ended") {
    TestSession session;
    const std::vector<TaskRef> tasks;
    AnyTask any(*session.master, tasks);
    CHECK(!any.ready());
    any.about_to_sleep();
    CHECK(!any.ready());
}
