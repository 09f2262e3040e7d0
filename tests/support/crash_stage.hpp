// A session whose processes run one at a time: what a victim does is the same in every run, so each of its
// touches of a shared word is reached by a number.
//
// The test itself is the launcher and the master, process 1 of the session, whose API it uses. A victim is
// a forked child with a row of its own in the table of processes; the test waits until it has ended, and
// buries it as the launcher does. Nobody waits for anything that another would have to do meanwhile, so a
// wait that sleeps is a mistake, which the alarm of the test ends.
//
// A Scene is what happens around each death:
//
//     struct Scene {
//         void before(CrashStage&, const CrashStage::Victim&); // in the master: what the victim will find
//         void victim(CrashStage&);                            // in the victim, which calls start_dying()
//         void after(CrashStage&, bool died);                  // in the master: looks, and lets go of all
//     };
//
// After it, tasks, blocks and objects are as many as before, and no mask names the victim.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "catch.hpp"
#include "child_process.hpp"
#include "crash_sites.hpp"
#include "dshm/dshm.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/recovery.hpp"
#include "test_segment.hpp"

namespace dshm::test {

// A process that waits for it begins up to so many tasks, and looks no further when there are none: how
// often it would look depends on time.
class Turns final : public runtime::WaitFor {
public:
    explicit Turns(int turns) : left_(turns) {}
    bool ready() override { return left_-- <= 0 || !work_is_there(); }

private:
    static bool work_is_there() {
        runtime::Process& me = runtime::current();
        bool some = me.area().inbox.peek().has_value();
        if (!me.is_master() || me.worker_count() == 0)
            me.processes().for_each_backed([&some](unsigned, runtime::ProcessArea& area) {
                some = some || area.ready.peek().has_value();
            });
        return some;
    }

    int left_;
};

// This process runs the tasks that it finds.
inline void work(int tasks = 8) {
    Turns turns(tasks);
    runtime::current().scheduler().wait(turns);
}

class CrashStage {
public:
    struct Victim {
        shm::Owner owner;
        WorkerId id;
    };
    struct Account {
        std::size_t tasks, blocks, objects;
        friend bool operator==(const Account&, const Account&) = default;
    };

    static constexpr std::uint8_t first_slot = shm::first_worker_slot;

    CrashStage() : segment_(make_segment()), table_(segment_) {
        CrashSites::table();
        enter({shm::launcher_slot, 1}, 0);
        enter({shm::master_slot, 1}, 1);
        launcher_ =
            std::make_unique<runtime::Process>(segment_, shm::Owner{shm::launcher_slot, 1}, 0);
        recovery_ = std::make_unique<runtime::Recovery>(*launcher_);
        // The last one made is the one that the API works for.
        master_ = std::make_unique<runtime::Process>(segment_, shm::Owner{shm::master_slot, 1}, 1);
    }

    shm::Segment& segment() { return segment_; }
    runtime::Process& launcher() { return *launcher_; }
    runtime::Process& master() { return *master_; }

    // A worker that takes tasks from now on.
    Victim cast(std::uint8_t slot = first_slot) {
        const auto incarnation = static_cast<std::uint16_t>(table_.life(slot).incarnation + 1);
        const Victim victim{{slot, incarnation}, next_id_++};
        enter(victim.owner, victim.id);
        return victim;
    }
    // Lets it do something until it ends; gives its status.
    template <class Body>
    int perform(const Victim& victim, Body&& body) {
        return run_in_child([&] {
            runtime::Process process(segment_, victim.owner, victim.id);
            body();
            CrashSites::disarm(); // what ends here is the child, and not a worker
        });
    }
    // What the launcher does when the kernel says that it has ended, and when another worker has been
    // started in its place.
    void bury(const Victim& victim, int status, const std::optional<Victim>& successor = {}) {
        announce_death(victim, status, successor);
        recovery_->bury(death_of(victim, status, successor));
    }
    // The same, by a process that may die of it. It begins nothing that the launcher cannot begin again,
    // so the launcher buries the victim once more and then this one.
    int try_to_bury(const Victim& deputy, const Victim& victim, int status,
                    const std::optional<Victim>& successor, const std::function<void()>& arm) {
        announce_death(victim, status, successor);
        return perform(deputy, [&] {
            runtime::Recovery recovery(runtime::current());
            arm();
            recovery.bury(death_of(victim, status, successor));
        });
    }
    Account account() {
        recovery_->retry();
        master_->holdings().release_pins();
        runtime::TaskTable& tasks = master_->tasks();
        std::size_t used = 0;
        for (std::uint32_t index = 0; index < tasks.top(); ++index)
            used += phase_of(index) != runtime::TaskPhase::free;
        return {used, launcher_->heap().statistics().blocks_in_use,
                master_->objects().live_count()};
    }
    void check_account(const Account& before) {
        const Account now = account();
        CHECK(now.tasks == before.tasks);
        CHECK(now.blocks == before.blocks);
        CHECK(now.objects == before.objects);
        const shm::HeapStatistics heap = launcher_->heap().statistics();
        CHECK(heap.accounted() == heap.opened);
        CHECK(heap.unfinished == 0);
        REQUIRE(now == before);
    }
    // Nothing that lasts names a process that is dead.
    void check_names(const shm::Owner& dead) {
        shm::Header& header = segment_.header();
        for (const shm::ProcessMask* mask :
             {&header.parked, &header.searching, &header.table_waiters, &header.tag_readers})
            REQUIRE(!mask->test(dead.slot, std::memory_order_seq_cst));
        REQUIRE(header.long_spinner.load(std::memory_order_seq_cst) != dead.slot + 1u);
        for (std::uint32_t index = 0; index < master_->tasks().top(); ++index) {
            const runtime::TaskRecord& record = master_->tasks().record(index);
            const auto phase = phase_of(index);
            if (phase == runtime::TaskPhase::free)
                continue;
            const std::uint64_t word = record.control.load(std::memory_order_seq_cst);
            if ((word & runtime::control::shared) != 0)
                REQUIRE(!record.holders.test(dead.slot, std::memory_order_seq_cst));
            const bool held_by_dead = runtime::control::Origin::get(word) == dead.bits() &&
                                      (word & runtime::control::held) != 0;
            REQUIRE(!held_by_dead);
        }
        for (const std::uint64_t kind : {runtime::object_kind::array, runtime::object_kind::value,
                                         runtime::object_kind::channel, runtime::object_kind::pool})
            master_->objects().for_each_live(
                kind, [&](shm::ObjectTable::Ref object, const shm::ObjectView&) {
                    master_->objects().for_each_holder(
                        object, [&](unsigned slot) { REQUIRE(slot != dead.slot); });
                });
    }

private:
    static constexpr int os_pid = 12345;

    void announce_death(const Victim& victim, int status, const std::optional<Victim>& successor) {
        runtime::Obituary& obituary = table_.obituary(victim.id);
        obituary.wait_status = status;
        obituary.os_pid = os_pid;
        obituary.successor = successor ? successor->id : 0;
        obituary.key.store(static_cast<std::uint64_t>(victim.id), std::memory_order_release);
        table_.set_life(victim.owner.slot,
                        {runtime::LifePhase::dead, victim.owner.incarnation, victim.id});
        table_.announce_change();
    }
    static runtime::Death death_of(const Victim& victim, int status,
                                   const std::optional<Victim>& successor) {
        runtime::Death death{victim.owner, victim.id, os_pid, status};
        death.repeats = successor.has_value();
        if (successor)
            death.successor = {successor->id, successor->owner};
        return death;
    }

    void enter(shm::Owner owner, WorkerId id) {
        table_.back_area(owner.slot);
        table_.set_life(owner.slot, {runtime::LifePhase::running, owner.incarnation, id});
        table_.announce_change();
    }
    runtime::TaskPhase phase_of(std::uint32_t index) {
        return runtime::TaskState::from_bits(
                   master_->tasks().record(index).state.load(std::memory_order_acquire))
            .phase;
    }

    shm::Segment segment_;
    runtime::ProcessTable table_;
    std::unique_ptr<runtime::Process> launcher_, master_;
    std::unique_ptr<runtime::Recovery> recovery_;
    WorkerId next_id_ = 2;
};

// How a victim will die, in the victim; nothing elsewhere.
inline std::function<void()>& mortality() {
    static std::function<void()> arm;
    return arm;
}
// From here on each touch of a victim may be its last.
inline void start_dying_cold() {
    if (mortality())
        mortality()();
}

// The same, once this process has blocks at hand of the sizes that the tests use: how a chunk of small
// blocks is opened, a thousand touches, is the heap's own test.
inline void start_dying() {
    runtime::Process& process = runtime::current();
    const shm::Tag own = shm::Tag::own(process.me());
    for (const std::size_t bytes : {64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384})
        process.heap().free(process.heap().allocate(bytes, own).offset, own);
    start_dying_cold();
}

// True for what a future gives; false when its task ended with a process. Anything else is thrown.
template <class T, class Check>
bool resolves(const Future<T>& future, Check&& right) {
    try {
        if constexpr (std::is_void_v<T>) {
            future.get();
        } else {
            const T value = future.get(); // not in REQUIRE, which would catch what it throws
            REQUIRE(right(value));
        }
        return true;
    } catch (const ProcessExitedException&) {
        return false;
    }
}

// So many times, and nobody died: a place that was missed.
inline constexpr std::uint64_t often_passed = 20;

// One victim of the scene, which `arm` makes mortal. True when it died of that.
template <class Scene, class Arm>
bool play(CrashStage& stage, const CrashStage::Account& before, Arm&& arm) {
    Scene scene;
    const CrashStage::Victim victim = stage.cast();
    scene.before(stage, victim);
    const int status = stage.perform(victim, [&] {
        mortality() = arm;
        scene.victim(stage);
    });
    const bool died = was_killed(status);
    REQUIRE((died || left_well(status)));
    stage.bury(victim, status);
    scene.after(stage, died);
    stage.check_names(victim.owner);
    stage.check_account(before);
    return died;
}

// Kills a victim of the scene at its first touch, its second, and so on until one survives: every `step`-th
// in the ordinary suite, each in the nightly one. Then at places that nobody has died at, as what a victim
// finds depends on what earlier ones have left.
template <class Scene>
void kill_everywhere(std::uint64_t step = 1) {
    alarm(full_run() ? 3600 : 240);
    CrashStage stage;
    if (full_run())
        step = 1;
    const CrashStage::Account before = stage.account();
    int survivors = 0; // in a row: a sleep makes one run longer than another
    std::uint64_t touch = 1;
    for (; survivors < 3; touch += step) {
        CAPTURE(touch);
        const bool died = play<Scene>(stage, before, [touch] { CrashSites::arm(touch); });
        survivors = died ? 0 : survivors + 1;
    }
    CHECK(touch >= 5 * step);
    kill_at_new_places(
        [&](const Fate& fate) { play<Scene>(stage, before, [fate] { CrashSites::arm(fate); }); });
}

// At the end of a program: of the places that were passed often, at most one in forty was never died at, and
// those, which are passed or not as time goes by, are listed.
inline void check_places() {
    const CrashSites& sites = CrashSites::table();
    const auto missed = sites.missed(often_passed);
    CHECK(sites.passed() > 50);
    CHECK(missed.size() * 40 <= sites.passed());
    WARN(sites.passed() << " places, " << missed.size()
                        << " passed often and never died at (for addr2line):"
                        << CrashSites::text(missed));
}

} // namespace dshm::test
