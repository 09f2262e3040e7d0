// The steps of a task's life, one by one, and what stale names of it are worth.

#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "dshm/runtime/payload.hpp"
#include "test_session.hpp"

using namespace dshm;
using namespace dshm::runtime;
using dshm::test::TestSession;

TEST_CASE("a task goes through its phases, and every other step is refused") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    const TaskRef task = *tasks.reserve();
    CHECK(tasks.state(task) ==
          TaskState{TaskPhase::filling, session.master_owner, 0, task.generation});
    CHECK(!tasks.claim(entry_of(task)));
    CHECK(!tasks.claim_open(task));
    CHECK(!tasks.claim_queued(task));
    CHECK(!tasks.free_finished(task));
    tasks.publish(task);
    CHECK(!tasks.claim_open(task));
    CHECK(!tasks.free_finished(task));
    CHECK(!tasks.ended(task));
    TaskTable& worker = session.alive->tasks();
    CHECK(worker.claim(entry_of(task)) == task);
    CHECK(!tasks.claim(entry_of(task)));
    CHECK(tasks.state(task) ==
          TaskState{TaskPhase::running, session.alive_owner, 0, task.generation});
    worker.record(task).form = PayloadForm::inline_bytes;
    worker.finish(task, TaskPhase::done);
    CHECK(tasks.ended(task));
    CHECK(tasks.state(task).owner == session.alive_owner);
    CHECK(tasks.free_finished(task));
    CHECK(!tasks.free_finished(task));
    CHECK(tasks.ended(task));
    CHECK(session.phase(task) == TaskPhase::free);
}

TEST_CASE("a record that is used again is another task: old names of it are refused") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    const TaskRef old = TestSession::queue(*session.master, 0, false, 8);
    REQUIRE(tasks.claim(entry_of(old)));
    tasks.finish(old, TaskPhase::done);
    REQUIRE(tasks.free_finished(old));
    TaskRef now = *tasks.reserve();
    while (now.index != old.index)
        now = *tasks.reserve();
    tasks.record(now).form = PayloadForm::inline_bytes;
    tasks.publish(now);
    CHECK(now.generation == old.generation + 1);
    CHECK(!tasks.claim(entry_of(old)));
    CHECK(!tasks.claim_queued(old));
    CHECK(!tasks.free_finished(old));
    CHECK(tasks.ended(old));
    CHECK(tasks.claim(entry_of(now)) == now);
}

TEST_CASE("an open future is put once") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    const TaskRef task = *tasks.reserve();
    tasks.record(task).form = PayloadForm::inline_bytes;
    tasks.publish_open(task);
    CHECK(!tasks.claim(entry_of(task)));
    CHECK(tasks.claim_open(task));
    CHECK(!session.alive->tasks().claim_open(task));
    tasks.finish(task, TaskPhase::done);
    CHECK(!tasks.claim_open(task));
}

TEST_CASE("a call that is not sent after all leaves nothing") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    const auto before = session.blocks();
    const TaskRef task = TestSession::fill(*session.master, 0, false, 5000);
    CHECK(session.blocks() == before + 1);
    tasks.abandon(task);
    CHECK(session.blocks() == before);
    CHECK(session.phase(task) == TaskPhase::free);
    CHECK(tasks.state(task).generation == task.generation + 1);
}

TEST_CASE("a result's block goes with its record") {
    TestSession session;
    TaskTable& worker = session.alive->tasks();
    const auto before = session.blocks();
    const TaskRef task = TestSession::queue(*session.master, 0, false, 8);
    REQUIRE(worker.claim(entry_of(task)));
    TestSession::write(*session.alive, task, shm::Tag::result(task.index, task.generation), 70'000);
    worker.finish(task, TaskPhase::done);
    CHECK(session.blocks() == before + 1);
    CHECK(session.master->tasks().free_finished(task));
    CHECK(session.blocks() == before);
}

TEST_CASE("finish gives the control word of that moment") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    const TaskRef task = TestSession::queue(*session.master, 3, true, 8);
    REQUIRE(tasks.claim(entry_of(task)));
    tasks.record(task).control.fetch_or(control::origin_waits, std::memory_order_seq_cst);
    const std::uint64_t word = tasks.finish(task, TaskPhase::failed);
    CHECK((word & control::held) != 0);
    CHECK((word & control::origin_waits) != 0);
    CHECK(control::Origin::get(word) == session.master_owner.bits());
    CHECK(control::Target::get(word) == 3);
}

TEST_CASE("the table gives every record once, then none, then what is freed") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    TaskTable& others = session.alive->tasks();
    std::set<std::uint32_t> seen;
    for (std::size_t i = 0; i < shm::max_tasks; ++i) {
        const auto task = (i % 3 == 0 ? others : tasks).reserve();
        REQUIRE(task);
        REQUIRE(seen.insert(task->index).second);
    }
    CHECK(tasks.top() == shm::max_tasks);
    CHECK(!tasks.reserve());
    CHECK(!others.reserve());
    // Freed by another process, somewhere in the middle, by hand.
    const std::uint32_t index = 40'000;
    const auto state =
        TaskState::from_bits(tasks.record(index).state.load(std::memory_order_relaxed));
    tasks.record(index).state.store(TaskState{TaskPhase::free, {}, 0, state.generation + 1}.bits(),
                                    std::memory_order_release);
    const auto again = tasks.reserve();
    REQUIRE(again);
    CHECK(*again == TaskRef{index, state.generation + 1});
    CHECK(!others.reserve());
}

TEST_CASE("threads that reserve and free from one table never get the same record") {
    TestSession session;
    TaskTable& tasks = session.master->tasks();
    std::atomic<int> clashes{0};
    std::vector<std::atomic<int>> owners(shm::max_tasks);
    std::vector<std::thread> threads;
    for (int t = 1; t <= 3; ++t)
        threads.emplace_back([&, t] {
            std::vector<TaskRef> mine;
            for (int i = 0; i < 3000; ++i) {
                const TaskRef task = *tasks.reserve();
                int nobody = 0;
                clashes += owners[task.index].compare_exchange_strong(nobody, t) ? 0 : 1;
                mine.push_back(task);
                if (mine.size() == 20)
                    for (; !mine.empty(); mine.pop_back()) {
                        tasks.record(mine.back()).form = PayloadForm::inline_bytes;
                        owners[mine.back().index] = 0;
                        tasks.abandon(mine.back());
                    }
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(clashes == 0);
    CHECK(tasks.top() < 4 * 256);
}

TEST_CASE("two processes claim one entry, one wins") {
    TestSession session;
    for (int round = 0; round < 1000; ++round) {
        const TaskRef task = TestSession::queue(*session.master, 0, false, 8);
        std::atomic<int> ready{0}, winners{0};
        const auto race = [&](TaskTable& tasks) {
            ++ready;
            while (ready < 2)
                std::this_thread::yield();
            winners += tasks.claim(entry_of(task)) ? 1 : 0;
        };
        std::thread other([&] { race(session.alive->tasks()); });
        race(session.dead->tasks());
        other.join();
        REQUIRE(winners == 1);
        session.master->tasks().finish(task, TaskPhase::done);
        REQUIRE(session.master->tasks().free_finished(task));
    }
}
