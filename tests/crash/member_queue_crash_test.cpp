// A process that works on the members of a pool dies at its n-th touch of a shared word, for every
// n; the launcher recovers, and every member is there, free or with a living holder. In a second
// round the recovery itself is killed at each of its touches and started again.
#include "catch.hpp"

#include <sys/mman.h>

#include <new>

#include "child_process.hpp"
#include "dshm/queue/member_queue.hpp"

using namespace dshm;
using dshm::test::demand;
using dshm::test::run_in_child;
using dshm::test::was_killed;
using queue::MemberPhase;
using queue::MemberQueue;
using queue::TakenMember;
using shm::arm_crash_point;
using shm::Owner;

namespace {

constexpr Owner neighbour{6, 1}, first{2, 1}, second{3, 1};
constexpr std::uint8_t victim_slot = 5;

class Stage {
public:
    Stage()
        : memory_(mmap(nullptr, sizeof(MemberQueue), PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
          queue_(::new (memory_) MemberQueue) {
        add(first);
        add(second);
        TakenMember taken;
        take(neighbour, taken); // `first`
    }
    ~Stage() { munmap(memory_, sizeof(MemberQueue)); }
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;

    MemberQueue& queue() { return *queue_; }
    void add(Owner member) {
        queue_->add(member, [](Owner) { return true; });
    }
    void take(Owner holder, TakenMember& taken) {
        demand(queue_->take(
                   holder, [](Owner) { return true; }, taken) == MemberQueue::Take::done,
               "somebody is free");
    }
    // `first` is the neighbour's throughout, `second` is free, and nobody else is there.
    void check() {
        REQUIRE(queue_->state(first.slot).holder() == neighbour);
        REQUIRE(queue_->state(second.slot).phase() == MemberPhase::free);
        int members = 0;
        queue_->for_each([&](Owner) { ++members; });
        REQUIRE(members == 2);
    }

private:
    void* memory_;
    MemberQueue* queue_;
};

// All that a process does with a pool, itself a member of it.
void work(Stage& stage, Owner me) {
    stage.add(me);
    for (int round = 0; round < 2; ++round) {
        TakenMember one, two;
        stage.take(me, one);
        stage.take(me, two);
        demand(stage.queue().hand_over(one, me, one.member), "handed over");
        demand(stage.queue().give_back(one) && stage.queue().give_back(two), "given back");
    }
}

// The launcher knows of a member that was handed to itself that its task's end will free it: here,
// that whoever held it last is dead.
void recover(Stage& stage, Owner dead) {
    stage.queue().recover(dead);
    if (stage.queue().state(second.slot).phase() == MemberPhase::taken)
        REQUIRE(stage.queue().state(second.slot).holder() == second);
    stage.queue().give_back(second);
}

} // namespace

TEST_CASE("a pool survives a death at every touch") {
    Stage stage;
    std::uint16_t incarnation = 1;
    int deaths = 0;
    for (std::uint64_t touch = 1;; ++touch) {
        const Owner dead{victim_slot, incarnation++};
        const int status = run_in_child([&] {
            arm_crash_point(touch);
            work(stage, dead);
        });
        recover(stage, dead);
        stage.check();
        if (!was_killed(status)) {
            REQUIRE(dshm::test::left_well(status));
            break;
        }
        ++deaths;
    }
    CHECK(deaths > 100);
}

TEST_CASE("and its recovery too, at every touch of it") {
    Stage stage;
    std::uint16_t incarnation = 1;
    bool over = false;
    for (std::uint64_t touch = 1; !over; ++touch) {
        const Owner dead{victim_slot, incarnation++};
        TakenMember taken;
        stage.add(dead);
        stage.take(dead, taken);
        over = !was_killed(run_in_child([&] {
            arm_crash_point(touch);
            stage.queue().recover(dead);
        }));
        recover(stage, dead);
        stage.check();
    }
}
