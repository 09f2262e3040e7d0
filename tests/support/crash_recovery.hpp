// Recovery that is stopped at each of its own touches and begun again, and workers that have successors.
//
// A deputy, a worker that does what the launcher does, buries the victim and dies of it; then the launcher
// buries the victim once more, and the deputy. That is harder than what happens, as the end of a launcher
// is that of its session; but it shows that each step of a burial may be the last one, and the next begin
// over again.
#pragma once

#include <algorithm>

#include "crash_stage.hpp"

namespace dshm::test {

struct InterruptedBurial {
    bool victim_died, deputy_died;
};

template <class Scene>
InterruptedBurial play_interrupted(CrashStage& stage, const CrashStage::Account& before,
                                   std::uint64_t touch, const Fate& fate_of_deputy) {
    Scene scene;
    const CrashStage::Victim victim = stage.cast();
    scene.before(stage, victim);
    const int status = stage.perform(victim, [&] {
        mortality() = [touch] { CrashSites::arm(Fate::at_touch(touch).or_at_new_place()); };
        scene.victim(stage);
    });
    const CrashStage::Victim deputy = stage.cast(CrashStage::first_slot + 2);
    const int status_of_deputy = stage.try_to_bury(
        deputy, victim, status, {}, [fate_of_deputy] { CrashSites::arm(fate_of_deputy); });
    const InterruptedBurial ended{was_killed(status), was_killed(status_of_deputy)};
    REQUIRE((ended.victim_died || left_well(status)));
    REQUIRE((ended.deputy_died || left_well(status_of_deputy)));
    stage.bury(victim, status);
    stage.bury(deputy, status_of_deputy);
    scene.after(stage, ended.victim_died);
    stage.check_names(victim.owner);
    stage.check_names(deputy.owner);
    stage.check_account(before);
    return ended;
}

// Victims that die at each `every`-th touch, each of them buried by deputies that die at each `stride`-th of
// theirs, beginning elsewhere each time; all of them earlier at a place that nobody has died at.
template <class Scene>
std::size_t burials_of(CrashStage& stage, const CrashStage::Account& before, std::uint64_t every,
                       std::uint64_t stride, std::uint64_t round) {
    std::size_t burials = 0;
    for (std::uint64_t touch = 1 + round % every;; touch += every) {
        InterruptedBurial ended{};
        for (std::uint64_t at = 1 + (round / every + 7 * touch) % stride;; at += stride) {
            CAPTURE(touch, at);
            ended =
                play_interrupted<Scene>(stage, before, touch, Fate::at_touch(at).or_at_new_place());
            ++burials;
            if (!ended.deputy_died)
                break;
        }
        if (!ended.victim_died)
            return burials;
    }
}

// Then deputies of more victims die at places that nobody has died at.
template <class Scene>
void interrupt_burials(std::uint64_t every, std::uint64_t stride = 307) {
    alarm(full_run() ? 600 : 240);
    CrashStage stage;
    const CrashStage::Account before = stage.account();
    std::size_t burials = 0;
    Rounds rounds(20);
    rounds.each([&](std::uint64_t round) {
        burials += burials_of<Scene>(stage, before, every, stride, round);
    });
    InterruptedBurial ended{true, false};
    for (std::uint64_t touch = 1; ended.victim_died; touch += ended.deputy_died ? 0 : every / 4) {
        CAPTURE(touch);
        ended = play_interrupted<Scene>(stage, before, touch, Fate::at_some_new_place());
        ++burials;
    }
    WARN(burials << " burials, " << rounds.text());
}

// A session that replaces its workers: each of `lives` workers, the one in the place of the other, dies at
// the same touch of its own, and the last one lives. True if the first died.
//
//     void before(CrashStage&, const CrashStage::Victim& first);
//     void victim(CrashStage&);                                      // each of them
//     void replaced(CrashStage&, const CrashStage::Victim& now);     // in the master, by each successor
//     void after(CrashStage&, int deaths);
template <class Scene>
bool play_lives(CrashStage& stage, const CrashStage::Account& before, int lives,
                const std::function<void()>& arm) {
    Scene scene;
    std::vector<CrashStage::Victim> workers{stage.cast()};
    scene.before(stage, workers.back());
    int deaths = 0;
    for (int life = 0; life <= lives; ++life) {
        const bool last = life == lives;
        const int status = stage.perform(workers.back(), [&] {
            if (!last)
                mortality() = arm;
            scene.victim(stage);
        });
        REQUIRE((was_killed(status) || left_well(status)));
        deaths += was_killed(status);
        if (last) {
            stage.bury(workers.back(), status);
            break;
        }
        // The new one is there before the old one has gone.
        const auto slot = static_cast<std::uint8_t>(CrashStage::first_slot + (life + 1) % 2);
        const CrashStage::Victim successor = stage.cast(slot);
        stage.bury(workers.back(), status, successor);
        workers.push_back(successor);
        scene.replaced(stage, successor);
    }
    scene.after(stage, deaths);
    for (const CrashStage::Victim& worker : workers)
        stage.check_names(worker.owner);
    stage.check_account(before);
    return deaths != 0;
}

template <class Scene>
void kill_lives(int lives, std::uint64_t step = 1) {
    alarm(full_run() ? 1200 : 240);
    CrashStage stage;
    stage.segment().header().on_worker_death = static_cast<std::uint64_t>(OnWorkerDeath::restart);
    const CrashStage::Account before = stage.account();
    if (full_run())
        step = 1;
    bool died = true;
    for (std::uint64_t touch = 1; died; touch += step) {
        CAPTURE(lives, touch);
        died = play_lives<Scene>(stage, before, lives, [touch] { CrashSites::arm(touch); });
    }
    kill_at_new_places([&](const Fate& fate) {
        play_lives<Scene>(stage, before, lives, [fate] { CrashSites::arm(fate); });
    });
}

} // namespace dshm::test
