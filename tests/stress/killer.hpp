// Whoever kills workers of a session at random, and has them replaced: a thread of its master.
//
// It knows whom it has struck, so a death of anybody else is a false one. All decisions come from the seed;
// what they hit is up to the machine.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "dshm/dshm.hpp"
#include "ledger.hpp"

namespace dshm::test {

inline void pause_up_to(std::minstd_rand& random, unsigned microseconds) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % (microseconds + 1)));
}

// How a task ends its worker.
inline void end_by(Way way) {
    switch (way) {
    case Way::task_abort:
        std::abort();
    case Way::task_exit:
        std::exit(3);
    case Way::task__exit:
        _exit(4);
    default:
        *static_cast<volatile int*>(nullptr) = 1;
    }
}

class Killer {
public:
    Killer(Ledger& ledger, unsigned seed, std::size_t workers_wanted)
        : ledger_(&ledger), random_(seed), wanted_(workers_wanted),
          launcher_(fetch([] { return getppid(); })) {
        note_the_living();
    }

    // Ends one, sometimes several at once, and has as many started.
    void step() {
        pause_up_to(random_, pauses_[random_() % pauses_.size()]);
        const std::size_t victims = random_() % 16 == 0 ? wanted_ : 1 + (random_() % 8 == 0);
        for (std::size_t i = 0; i < victims; ++i)
            strike_one();
        refill();
        check_the_living();
    }
    // Until those that were struck have ended, and all are there that are wanted.
    void settle() {
        const auto doomed = [this](WorkerId id) { return struck_.contains(id); };
        for (;;) {
            const std::vector<WorkerId> ids = the_workers();
            if (std::none_of(ids.begin(), ids.end(), doomed))
                break;
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        }
        for (const auto& removal : removals_)
            removal.wait();
        refill();
    }

private:
    static std::vector<WorkerId> the_workers() {
        std::vector<WorkerId> ids = workers();
        std::erase(ids, 1); // that there are none
        return ids;
    }

    void strike_one() {
        std::vector<WorkerId> ids = the_workers();
        std::erase_if(ids, [this](WorkerId id) { return struck_.contains(id); });
        if (ids.empty())
            return;
        const WorkerId victim = ids[random_() % ids.size()];
        struck_.insert(victim);
        if (random_() % 20 == 0) {
            ++ledger_->removed;
            removals_.push_back(rmprocs(victim, {.waitfor = std::chrono::milliseconds(0)}));
            return;
        }
        const Way way = static_cast<Way>(random_() % static_cast<unsigned>(Way::starting));
        ++ledger_->kills[static_cast<unsigned>(way)];
        strike(victim, way);
    }

    void strike(WorkerId victim, Way way) {
        const pid_t process = worker_info(victim).os_pid;
        switch (way) {
        case Way::kill:
            ::kill(process, SIGKILL);
            return;
        case Way::segv:
            ::kill(process, SIGSEGV);
            return;
        case Way::abrt:
            ::kill(process, SIGABRT);
            return;
        case Way::stopped:
            ::kill(process, SIGSTOP);
            pause_up_to(random_, 2000);
            ::kill(process, SIGKILL);
            return;
        default:
            try {
                remote_do([way] { end_by(way); }, victim);
            } catch (const ProcessExitedException&) {
                if (!killed_as_beginner(victim))
                    ledger_->breach(ledger_->false_deaths, "of one that is to be killed");
            }
        }
    }

    // Some are killed before they take tasks; then all of that call are gone, and it is made again.
    void refill() {
        for (;;) {
            const std::vector<WorkerId> ids = the_workers();
            const auto there = static_cast<std::size_t>(std::count_if(
                ids.begin(), ids.end(), [this](WorkerId id) { return !struck_.contains(id); }));
            if (there >= wanted_)
                break;
            const bool early = random_() % 12 == 0;
            std::thread striker;
            if (early)
                striker = std::thread([this, seed = random_()] { strike_a_beginner(seed); });
            try {
                addprocs(static_cast<int>(wanted_ - there));
            } catch (const std::runtime_error& error) {
                if (!early)
                    ledger_->breach(ledger_->false_deaths, error.what());
            }
            if (early) {
                striker.join();
                note_the_beginner();
            }
        }
        ++ledger_->progress;
        note_the_living();
    }

    // A child of the launcher that was not there before.
    void strike_a_beginner(unsigned long seed) {
        std::minstd_rand random(seed);
        const std::set<pid_t> known = children();
        pause_up_to(random, 1000);
        for (int i = 0; i < 200; ++i)
            for (const pid_t child : children())
                if (!known.contains(child)) {
                    pause_up_to(random, 300);
                    ++ledger_->kills[static_cast<unsigned>(Way::starting)];
                    ::kill(child, SIGKILL);
                    killed_children_.push_back(child);
                    killed_child_ = child;
                    return;
                }
    }
    // It may have come in between, and then ends as one that is there.
    void note_the_beginner() {
        const pid_t killed = std::exchange(killed_child_, 0);
        for (const WorkerId id : the_workers())
            if (killed != 0 && worker_info(id).os_pid == killed)
                struck_.insert(id);
    }
    std::set<pid_t> children() const {
        const std::string launcher = std::to_string(launcher_);
        std::ifstream file("/proc/" + launcher + "/task/" + launcher + "/children");
        std::set<pid_t> found;
        for (pid_t child = 0; file >> child;)
            found.insert(child);
        return found;
    }

    // Nobody ends that was not struck.
    void note_the_living() {
        for (const WorkerId id : the_workers())
            living_.insert(id);
    }
    void check_the_living() {
        const std::vector<WorkerId> ids = the_workers();
        for (const WorkerId id : living_) {
            const bool there = std::binary_search(ids.begin(), ids.end(), id);
            if (!there && !struck_.contains(id) && !killed_as_beginner(id))
                ledger_->breach(ledger_->false_deaths, "of worker " + std::to_string(id));
        }
        living_ = std::set<WorkerId>(ids.begin(), ids.end());
    }
    bool killed_as_beginner(WorkerId id) const {
        const pid_t process = worker_info(id).os_pid;
        return std::find(killed_children_.begin(), killed_children_.end(), process) !=
               killed_children_.end();
    }

    static constexpr std::array<unsigned, 4> pauses_ = {0, 200, 1000, 4000};
    Ledger* ledger_;
    std::minstd_rand random_;
    std::size_t wanted_;
    pid_t launcher_;
    std::set<WorkerId> struck_;
    std::set<WorkerId> living_;
    std::vector<pid_t> killed_children_;
    pid_t killed_child_ = 0; // the last, until it is noted
    std::vector<Future<void>> removals_;
};

} // namespace dshm::test
