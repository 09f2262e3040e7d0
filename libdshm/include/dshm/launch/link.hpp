// The master's end of the line to the launcher.
//
// Forks the launcher, asks it for workers, and ends it. One object in each session, in process 1.
// Calls are serialised.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <vector>

#include "dshm/launch/requests.hpp"
#include "dshm/os/mapping.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::launch {

class Link {
public:
    // Forks the launcher. Throws std::system_error.
    Link(shm::Segment& segment, bool tag_output);
    // Ends the launcher and waits until it is gone, if that has not been done.
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    // Ids of the new workers. This process runs what is sent to it meanwhile. Throws std::runtime_error with the reason; then none was started.
    std::vector<int> add(const AddWorkers& request);
    void remove(const RemoveWorkers& request);
    // Ends all workers: those that are still busy after `grace` are killed.
    void stop(std::chrono::milliseconds grace) noexcept;

    // In a child that the program has forked: lets go of what would keep the launcher from seeing that the
    // master has gone.
    void leave_in_child() noexcept;

    bool alive() const noexcept;
    pid_t process() const noexcept { return process_; }

private:
    os::Fd socket_;
    os::Fd pidfd_;
    pid_t process_ = 0;
    std::atomic<bool> taken_{false}; // a call is under way
};

} // namespace dshm::launch
