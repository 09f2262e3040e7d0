// Bare forked processes: the ceiling that libdshm is measured against.
//
// The members are forked once and do nothing but wait for `run`, which makes each do the same job with its
// own number; the work is split by hand inside the job, and results go through a `SharedMapping`
// made before the crew. There is no queue, no task, no future and no recovery. Waiting spins for a given time and then
// parks on a futex; a wake makes a system call only if somebody is parked.
//
// Make crews before the first OpenMP or TBB region of the process. A member dies with its crew's owner; a member that
// dies on its own makes `run` throw.
#pragma once

#include "baselines/shared_mapping.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <sys/types.h>
#include <vector>

namespace bench {

/// A 32-bit word in shared memory that processes wait on until it changes.
///
/// The kernel may wake a process on the very processor of its waker. Whoever waits for a process that last wrote on
/// his own processor therefore yields instead of pausing, else he would keep it from running.
class SharedWord {
public:
    std::uint32_t load() const { return value_.load(std::memory_order_acquire); }
    /// Changes the value and wakes whoever is parked.
    void add(std::uint32_t amount);
    /// Returns when the value differs from `old`, or after about a second without change.
    void wait_while(std::uint32_t old, std::chrono::nanoseconds spin);

private:
    std::atomic<std::uint32_t> value_{0};
    std::atomic<std::uint32_t> parked_{0};
    std::atomic<int> writer_processor_{-1};
};

class Crew {
public:
    using Job = std::function<void(int member)>;

    Crew(int members, Job job, std::chrono::nanoseconds spin = std::chrono::microseconds(20));
    ~Crew();
    Crew(const Crew&) = delete;
    Crew& operator=(const Crew&) = delete;

    int size() const { return static_cast<int>(pids_.size()); }
    /// Every member does the job once.
    void run();

private:
    /// One line for orders, one for answers, so that members do not disturb the order they wait for.
    struct State {
        alignas(128) SharedWord orders;
        alignas(128) SharedWord finished;
        alignas(128) std::atomic<bool> dismissed;
    };

    [[noreturn]] void serve(int member);
    void check_alive() const;

    SharedMapping<std::byte> memory_;
    State* state_;
    Job job_;
    std::chrono::nanoseconds spin_;
    std::vector<pid_t> pids_;
    std::uint32_t expected_ = 0;
};

/// Forks `children` processes, hears once from each, and ends them: seconds until the last was heard.
double seconds_to_fork(int children);

} // namespace bench
