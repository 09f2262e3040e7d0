// Looks and disturbances between any two touches of shared words, for tests that are linked with the crash
// build of the library: one process plays a session (test_session.hpp), and what others could see or do at
// that moment is seen or done before a touch. Says nothing about memory orders (tests/interleave does).
#pragma once

#include <functional>
#include <map>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::test {

// Calls `look(n, place)` before the n-th touch of a shared word, which is at that place in the code, but not
// for touches of its own.
class Watch {
public:
    using Look = std::function<void(int, const void*)>;

    explicit Watch(Look look) {
        looking() = std::move(look);
        touches() = 0;
        shm::observe_crash_points([](const void* place) noexcept {
            if (auto now = std::exchange(looking(), nullptr)) {
                now(++touches(), place);
                looking() = std::move(now);
            }
        });
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() {
        shm::observe_crash_points(nullptr);
        CHECK(touches() > 0);
    }
    static int& touches() {
        static int count = 0;
        return count;
    }

private:
    static Look& looking() {
        static Look look;
        return look;
    }
};

// The first two touches of `act` at each place.
template <class Stage, class Act>
std::vector<int> touches_of(Act&& act) {
    std::vector<int> touches;
    std::map<const void*, int> passed;
    Stage stage;
    const Watch watch([&](int touch, const void* place) {
        if (++passed[place] <= 2)
            touches.push_back(touch);
    });
    act(stage);
    return touches;
}

// Does `act` again and again, each time with `disturb` before one of those.
template <class Stage, class Disturb, class Act, class Check>
void disturb_everywhere(Disturb&& disturb, Act&& act, Check&& check) {
    for (const int at : touches_of<Stage>(act)) {
        CAPTURE(at);
        Stage stage;
        {
            const Watch watch([&](int touch, const void*) {
                if (touch == at)
                    disturb(stage);
            });
            act(stage);
        }
        check(stage);
    }
}

} // namespace dshm::test
