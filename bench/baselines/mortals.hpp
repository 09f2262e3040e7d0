// Bare processes that are killed: what libdshm's deaths are measured against.
//
// Make them after the Session and before there are threads. All of them are killed by the kernel when the process that
// has made them ends.
#pragma once

#include "baselines/shared_mapping.hpp"

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <vector>

namespace bench {

/// The same clock in all processes.
double monotonic_seconds();

/// Sends SIGKILL; the time just before.
double kill_now(pid_t process);

/// Kills from outside, so that whoever asks for it can sleep meanwhile.
class Executioner {
public:
    Executioner();
    ~Executioner();
    Executioner(const Executioner&) = delete;
    Executioner& operator=(const Executioner&) = delete;

    void kill_soon(pid_t process, std::chrono::microseconds after);
    /// Of the last one, who must have died.
    double time_of_kill() const;

private:
    struct Order {
        pid_t process;
        std::chrono::microseconds after;
    };
    [[noreturn]] void serve(int orders);

    SharedMapping<double> time_;
    int orders_ = -1;
    pid_t process_ = 0;
};

/// From the kill of a forked child that has touched so many bytes until `waitpid` has told of it.
double bare_death(Executioner& executioner, std::size_t bytes);

/// Forked processes that do `job` over and over, counting, and are forked again by a process of their own when they die: nothing
/// of what was under way is kept. They are stopped while nobody runs them.
class Mortals {
public:
    Mortals(int members, std::function<void()> job);
    ~Mortals();
    Mortals(const Mortals&) = delete;
    Mortals& operator=(const Mortals&) = delete;

    /// The process of a member at this moment, 0 while there is none.
    pid_t process(int member) const { return state_->members[member].load(); }
    /// They hear of it within `most_nap`: whoever looked more often would take from what runs meanwhile.
    void set_running(bool running);
    static constexpr std::chrono::milliseconds most_nap{10};
    std::uint64_t done() const { return state_->done.load(); }

private:
    static constexpr int most_members = 64;
    struct State {
        std::atomic<std::uint32_t> running;
        alignas(64) std::atomic<std::uint64_t> done;
        alignas(64) std::atomic<pid_t> members[most_members];
    };

    [[noreturn]] void manage(int members);
    void start(int member);
    [[noreturn]] void work();

    SharedMapping<std::byte> memory_;
    State* state_;
    std::function<void()> job_;
    pid_t manager_ = 0;
};

} // namespace bench
