// The inside of a session without its processes: a segment with rows for a master, a launcher and two workers, all played by
// the test itself. What a process would have written when it died is written by hand.
#pragma once

#include <memory>

#include "dshm/runtime/process.hpp"
#include "dshm/runtime/recovery.hpp"
#include "test_segment.hpp"

namespace dshm::test {

class TestSession {
public:
    static constexpr shm::Owner master_owner{shm::master_slot, 1},
        launcher_owner{shm::launcher_slot, 1}, dead_owner{2, 1}, alive_owner{3, 1};
    static constexpr WorkerId dead_id = 2, alive_id = 3;

    TestSession() : segment(make_segment()), table(segment) {
        row(master_owner, 1);
        row(launcher_owner, 0);
        row(dead_owner, dead_id);
        row(alive_owner, alive_id);
        table.announce_change();
        master = std::make_unique<runtime::Process>(segment, master_owner, 1);
        alive = std::make_unique<runtime::Process>(segment, alive_owner, alive_id);
        dead = std::make_unique<runtime::Process>(segment, dead_owner, dead_id);
        launcher = std::make_unique<runtime::Process>(segment, launcher_owner, 0);
        recovery = std::make_unique<runtime::Recovery>(*launcher);
    }

    // What the launcher does when it sees the death; twice, because it may have been interrupted the first time.
    void bury() {
        table.set_life(dead_owner.slot,
                       {runtime::LifePhase::dead, dead_owner.incarnation, dead_id});
        for (int pass = 0; pass < 2; ++pass)
            recovery->bury({dead_owner, dead_id, 12345, 9});
    }

    // A call as `process` writes it up to a moment before the commit, with a payload of so many bytes.
    static runtime::TaskRef fill(runtime::Process& process, WorkerId target, bool held,
                                 std::size_t payload) {
        const runtime::TaskRef task = *process.tasks().reserve();
        runtime::TaskRecord& record = process.tasks().record(task);
        record.control.store(runtime::control::Origin::put(process.me().bits()) |
                                 runtime::control::Target::put(static_cast<std::uint64_t>(target)) |
                                 (held ? runtime::control::held : 0),
                             std::memory_order_relaxed);
        record.function = 0;
        write(process, task, shm::Tag::argument(task.index, task.generation), payload);
        if (held)
            process.holdings().adopt(task);
        return task;
    }
    // Commits it; whether its entry gets into a ring is up to the test.
    static runtime::TaskRef queue(runtime::Process& process, WorkerId target, bool held,
                                  std::size_t payload) {
        const runtime::TaskRef task = fill(process, target, held, payload);
        process.tasks().publish(task);
        return task;
    }
    static void write(runtime::Process& process, runtime::TaskRef task, shm::Tag tag,
                      std::size_t payload) {
        ship::Footprint need{};
        need.size = payload;
        runtime::PayloadRoom room(process.tasks(), task, tag, need);
        room.close(payload, {});
    }

    runtime::TaskPhase phase(runtime::TaskRef task) const {
        const runtime::TaskState now = launcher->tasks().state(task);
        return now.generation == task.generation ? now.phase : runtime::TaskPhase::free;
    }
    std::size_t blocks() const { return launcher->heap().statistics().blocks_in_use; }

    shm::Segment segment;
    runtime::ProcessTable table;
    std::unique_ptr<runtime::Process> master, alive, dead, launcher;
    std::unique_ptr<runtime::Recovery> recovery;

private:
    void row(shm::Owner owner, WorkerId id) {
        table.back_area(owner.slot);
        table.set_life(owner.slot, {runtime::LifePhase::running, owner.incarnation, id});
    }
};

} // namespace dshm::test
