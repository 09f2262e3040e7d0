// The part that a program has in a session which did not start it: it joins, is a process of it
// until it leaves, and then is none.
//
// A member with a slot and an incarnation like any other, so that what it holds is known and is given
// back when it leaves or dies; but no worker. The launcher learns of it by a word of the header
// (join_word.hpp) and a signal. Before it has answered, nothing of the segment but that word is
// written. One object in a process, on any thread. When the session ends first, calls throw and the
// memory stays until this object goes.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "dshm/os/clock.hpp"
#include "dshm/os/mapping.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::launch {

class Attachment {
public:
    // Throws std::invalid_argument for what is no name, std::runtime_error with the reason when there
    // is no such session, it cannot be shared, it has no room, or its launcher does not answer in
    // time. Then nothing is left.
    Attachment(std::string_view name, std::chrono::milliseconds timeout);
    // Waits a moment until the launcher has taken back what this process held.
    ~Attachment();
    Attachment(const Attachment&) = delete;
    Attachment& operator=(const Attachment&) = delete;

    const std::string& link_name() const { return link_name_; }
    shm::Segment& segment() { return segment_; }
    runtime::Process& process() { return *process_; }
    // The process that made it: a child that the program forks must leave it alone.
    pid_t maker() const { return maker_; }

private:
    bool session_lives() const noexcept;
    void watch_launcher(os::Clock::time_point deadline);
    shm::Owner join(os::Clock::time_point deadline);
    shm::Word64* claim_place(os::Clock::time_point deadline);
    shm::Owner await_answer(shm::Word64& place, os::Clock::time_point deadline);
    bool pause_until(os::Clock::time_point deadline);
    void leave() noexcept;
    [[noreturn]] void fail(const std::string& what) const;

    std::string link_name_;
    shm::Segment segment_;
    pid_t launcher_ = 0;
    os::Fd launcher_pidfd_;
    shm::Owner me_;
    pid_t maker_;
    std::optional<runtime::Process> process_;
};

} // namespace dshm::launch
