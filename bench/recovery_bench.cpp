// What the launcher's passes over the segment take for one death, by themselves: a segment with as many task descriptors in use as there can be, and a
// million small blocks, all in this process, which plays every part.
//
//   recovery_bench [--quick] [--rounds N]
//
// Beside it, one plain pass over the same words: each task's state, each chunk's, each block's tag. A block or a task
// that is left, or that has gone too far, makes the exit status 1; a missed target is printed.
#include "support/death_times.hpp"
#include "support/measure.hpp"

#include "dshm/runtime/process.hpp"
#include "dshm/runtime/recovery.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>

namespace {

using namespace dshm;
using bench::DeathTimes;

constexpr shm::Owner master{shm::master_slot, 1}, launcher{shm::launcher_slot, 1}, alive{3, 1};
constexpr unsigned dead_slot = 2;

shm::Segment make_segment() {
    shm::SegmentOptions options;
    options.name = "recovery_bench." + std::to_string(getpid());
    options.capacity = std::size_t{1} << 30;
    shm::Segment segment = shm::Segment::create(options);
    segment.unlink();
    return segment;
}

/// A session without its processes.
class Stage {
public:
    Stage() : segment_(make_segment()), table_(segment_) {
        row(master, 1);
        row(launcher, 0);
        row(alive, 3);
        master_ = std::make_unique<runtime::Process>(segment_, master, 1);
        alive_ = std::make_unique<runtime::Process>(segment_, alive, 3);
        launcher_ = std::make_unique<runtime::Process>(segment_, launcher, 0);
        recovery_ = std::make_unique<runtime::Recovery>(*launcher_);
    }

    /// What stays: tasks for the living worker, each with a block, and blocks of its own and of nobody.
    void fill(int tasks, int blocks) {
        add_tasks(*alive_, 3, tasks, 200);
        for (int i = 0; i < blocks; ++i)
            alive_->heap().allocate(64, i % 2 == 0 ? shm::Tag::own(alive) : shm::Tag::session());
    }

    /// A worker dies that runs some tasks, has been sent others, and owns blocks: seconds of its burial.
    double bury_one() {
        const std::size_t before = blocks();
        const auto incarnation = static_cast<std::uint16_t>(deaths_.size() + 1);
        const shm::Owner owner{dead_slot, incarnation};
        const WorkerId id = 100 + incarnation;
        row(owner, id);
        // Stays: its end would give things back.
        deaths_.push_back(std::make_unique<runtime::Process>(segment_, owner, id));
        const auto theirs = let_work(*deaths_.back(), id);
        table_.set_life(owner.slot, {runtime::LifePhase::dead, owner.incarnation, id});
        const double seconds = bench::seconds_of([&] { recovery_->bury({owner, id, 12345, 9}); });
        for (const runtime::TaskRef task : theirs) {
            bench::require(launcher_->tasks().state(task).phase == runtime::TaskPhase::failed,
                           "a task of the dead has not failed");
            master_->holdings().drop(task);
        }
        bench::require_equal(blocks(), before);
        return seconds;
    }

    /// One look at every task's state and every block's tag, and no more.
    double look_through() {
        std::size_t found = 0;
        const double seconds = bench::seconds_of([&] {
            for (std::uint32_t i = 0; i < launcher_->tasks().top(); ++i)
                found += launcher_->tasks().record(i).state.load(std::memory_order_acquire) != 0;
            found += blocks();
        });
        bench::require(found > 0, "nothing is there");
        return seconds;
    }
    std::size_t blocks() const { return launcher_->heap().statistics().blocks_in_use; }
    std::uint32_t tasks() const { return launcher_->tasks().top(); }

private:
    void row(shm::Owner owner, WorkerId id) {
        table_.back_area(owner.slot);
        table_.set_life(owner.slot, {runtime::LifePhase::running, owner.incarnation, id});
        table_.announce_change();
    }

    /// Of the master, for `target` alone. Their blocks come in another order than the tasks.
    std::vector<runtime::TaskRef> add_tasks(runtime::Process& writer, WorkerId target, int count,
                                            std::size_t bytes) {
        std::vector<runtime::TaskRef> tasks;
        for (int i = 0; i < count; ++i)
            tasks.push_back(*master_->tasks().reserve());
        std::vector<runtime::TaskRef> shuffled = tasks;
        std::shuffle(shuffled.begin(), shuffled.end(), std::minstd_rand(1));
        for (const runtime::TaskRef task : shuffled)
            write(writer, task, target, bytes);
        return tasks;
    }
    void write(runtime::Process& writer, runtime::TaskRef task, WorkerId target,
               std::size_t bytes) {
        namespace control = runtime::control;
        runtime::TaskRecord& record = master_->tasks().record(task);
        record.control.store(control::Origin::put(master.bits()) |
                                 control::Target::put(static_cast<std::uint64_t>(target)) |
                                 control::held | control::observed,
                             std::memory_order_relaxed); // relaxed: one thread here
        record.function = 0;
        ship::Footprint need{};
        need.size = bytes;
        runtime::PayloadRoom room(writer.tasks(), task,
                                  shm::Tag::argument(task.index, task.generation), need);
        room.close(bytes, {});
        master_->holdings().adopt(task);
        master_->tasks().publish(task);
    }
    std::vector<runtime::TaskRef> let_work(runtime::Process& dead, WorkerId id) {
        auto tasks = add_tasks(*master_, id, 64, 200);
        for (std::size_t i = 0; i < tasks.size() / 2; ++i)
            bench::require(dead.tasks().claim_queued(tasks[i]), "a task is not queued");
        for (int i = 0; i < 2000; ++i)
            dead.heap().allocate(64, shm::Tag::own(dead.me()));
        return tasks;
    }

    shm::Segment segment_;
    runtime::ProcessTable table_;
    std::unique_ptr<runtime::Process> master_, alive_, launcher_;
    std::unique_ptr<runtime::Recovery> recovery_;
    std::vector<std::unique_ptr<runtime::Process>> deaths_;
};

void measure(int rounds, bool quick) {
    constexpr double wanted = 10e-3;
    Stage stage;
    DeathTimes empty("one death, an empty session"), full("one death, a full one", wanted),
        look("a look at every state and tag");
    for (int round = 0; round < rounds; ++round)
        empty.add(stage.bury_one());
    stage.fill(quick ? 1000 : static_cast<int>(shm::max_tasks) - 64, quick ? 10'000 : 934'464);
    for (int round = 0; round < rounds; ++round) {
        full.add(stage.bury_one());
        look.add(stage.look_through());
    }
    std::printf("\n%u task descriptors and %zu blocks in use\n", stage.tasks(), stage.blocks());
    empty.print();
    full.print();
    look.print();
}

} // namespace

int main(int argc, char** argv) {
    int rounds = 50;
    bool quick = false;
    for (int i = 1; i < argc; ++i) {
        quick = quick || std::string(argv[i]) == "--quick";
        if (std::string(argv[i]) == "--rounds" && i + 1 < argc)
            rounds = std::stoi(argv[i + 1]);
    }
    try {
        measure(quick ? 2 : rounds, quick);
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "recovery_bench: %s\n", error.what());
        return 1;
    }
}
