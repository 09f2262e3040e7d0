// Sessions of victims side by side: where each of them waits most of its time, as for a launcher that is gone,
// some dozen take no longer than one.
//
// A lane is a forked child that plays one session after the other; Catch2's macros go unheard there, so plays
// use DEMAND, and what does not hold ends the lane with its text on standard error.
#pragma once

#include "crash_session.hpp"

namespace dshm::test {

// What the lanes' victims die of: first some of the touches 1, 2, ..., until one has survived; then each at a
// place that nobody has died at, until a lane has had some survivors in a row.
class Hunt {
public:
    // In memory that lanes share. In the nightly suite each `full_step`-th touch has its victim.
    static Hunt& make(std::uint64_t full_step) {
        void* const memory =
            mmap(nullptr, sizeof(Hunt), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        return *::new (memory) Hunt(full_step);
    }
    std::uint64_t deaths() const { return deaths_; }

    // `play` gives whether its victim died.
    template <class Play>
    void run(Play&& play) {
        const int patience = full_run() ? 20 : 8;
        for (int survivors = 0; survivors < patience;) {
            const Fate fate = next();
            const bool died = play(fate);
            deaths_ += died;
            if (fate.at_new_place)
                survivors = died ? 0 : survivors + 1;
            else if (!died)
                touches_over_ = true;
        }
    }

private:
    explicit Hunt(std::uint64_t full_step)
        : full_step_(full_step), touch_(1 + stride_seed() % full_step) {}

    Fate next() {
        if (touches_over_)
            return Fate::at_some_new_place();
        std::uint64_t touch = touch_.load();
        while (
            !touch_.compare_exchange_weak(touch, touch + (full_run() ? full_step_ : 1 + touch))) {
        }
        return Fate::at_touch(touch);
    }

    std::uint64_t full_step_;
    std::atomic<std::uint64_t> touch_, deaths_{0};
    std::atomic<bool> touches_over_{false};
};

// Victims of one scene; gives how many have died.
template <class Play>
std::uint64_t hunt_in_lanes(std::uint64_t full_step, Play&& play) {
    constexpr int lanes = 24;
    prepare();
    CrashSites::begin_scene();
    Hunt& hunt = Hunt::make(full_step);
    std::vector<pid_t> children;
    for (int lane = 0; lane < lanes; ++lane)
        children.push_back(start_child([&] {
            prctl(PR_SET_CHILD_SUBREAPER, 1);
            alarm(full_run() ? 600 : 300);
            hunt.run(play);
        }));
    for (const pid_t child : children)
        CHECK(left_well(wait_for(child)));
    return hunt.deaths();
}

// In a lane.
inline void demand_end(const SessionCase& session, const Outcome& outcome, bool as_wanted) {
    if (!as_wanted)
        std::fprintf(stderr, "status %#x\n%s", static_cast<unsigned>(outcome.status),
                     outcome.errors.c_str());
    DEMAND(as_wanted);
    DEMAND(segments_named(session.name()).empty());
}

} // namespace dshm::test
