// What the launcher knows of a worker that has been forked and not yet buried.
#pragma once

#include <chrono>
#include <memory>

#include "dshm/launch/output_relay.hpp"
#include "dshm/launch/requests.hpp"
#include "dshm/os/clock.hpp"
#include "dshm/os/mapping.hpp"
#include "dshm/runtime/process_table.hpp"

namespace dshm::launch {

struct WorkerRecord {
    WorkerId id = 0;
    shm::Owner owner;
    pid_t os_pid = 0;
    os::Fd pidfd;
    std::unique_ptr<LineRelay> output;
    std::unique_ptr<LineRelay> errors;
    // How it was started, and the how-manieth of its request: for one that comes in its place.
    std::shared_ptr<const WorkerSettings> settings;
    std::size_t number = 0;
    // It comes in the place of a dead one and does not take tasks yet; killed when that lasts too long.
    bool is_coming = false;
    os::Clock::time_point come_until{};
    bool asked_to_exit = false;
    bool keeps_master_waiting = false; // from when it was asked until it is buried
    int insisted = 0;                  // signals sent since: 0, then SIGTERM, then SIGKILL
    os::Clock::time_point insist_at{};
    // Output that a task waits for: shown up to here in both sinks.
    std::uint64_t fence = 0;
    std::size_t fence_output = 0;
    std::size_t fence_errors = 0;
};

} // namespace dshm::launch
