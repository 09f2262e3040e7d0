#include "dshm/launch/attachment.hpp"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>

#include "dshm/launch/join_word.hpp"
#include "dshm/os/process.hpp"
#include "dshm/shm/find_segment.hpp"

namespace dshm::launch {

namespace {

using namespace std::chrono_literals;
using runtime::LifePhase;

// The launcher answers within 0.1 ms when it is idle. Who joins looks so often, and rings again in
// case that the launcher was not yet listening.
constexpr auto look_again = 100us;
constexpr auto ring_again = 50ms;
// How long one that leaves waits for what it held to be taken back: usually 1 ms.
constexpr auto patience_at_end = 500ms;

const char* reason_of(Refusal why) {
    switch (why) {
    case Refusal::many_clients:
        return "32 programs are attached to the session already; detach one";
    case Refusal::no_slot:
        return "the session has no room for another process: 254 workers and programs are there";
    case Refusal::no_memory:
        return "the session has no shared memory left for another process";
    }
    return "it was refused";
}

} // namespace

Attachment::Attachment(std::string_view name, std::chrono::milliseconds timeout)
    : link_name_(shm::link_name_of(name)), segment_(shm::open_segment(link_name_)),
      maker_(getpid()) {
    const auto deadline = os::deadline_after(timeout);
    os::ignore_file_size_signal();
    segment_.mapping().keep_out_of_children();
    watch_launcher(deadline);
    me_ = join(deadline);
    try {
        process_.emplace(segment_, me_, runtime::ProcessTable(segment_).life(me_.slot).id,
                         [this] { return session_lives(); });
    } catch (...) {
        leave();
        throw;
    }
}

Attachment::~Attachment() {
    process_.reset();
    leave();
}

void Attachment::fail(const std::string& what) const {
    throw std::runtime_error("dshm: attach: " + link_name_ + ": " + what);
}

bool Attachment::session_lives() const noexcept {
    // acquire, edge `session-closed`.
    return segment_.header().state.load(std::memory_order_acquire) ==
               static_cast<std::uint64_t>(shm::SegmentState::ready) &&
           !os::has_ended(launcher_pidfd_);
}

// Sleeps for a moment; false when the deadline has come. Ends early when the launcher does.
bool Attachment::pause_until(os::Clock::time_point deadline) {
    if (os::Clock::now() >= deadline)
        return false;
    pollfd entry{launcher_pidfd_.get(), POLLIN, 0};
    const timespec time{0, std::chrono::nanoseconds(look_again).count()};
    ppoll(&entry, launcher_pidfd_ ? 1 : 0, &time, nullptr);
    return true;
}

// Whoever holds the lock is the launcher, and listens to signals: it asks for them first. The lock
// is looked at again once its pidfd is open, because a process number may be used again.
void Attachment::watch_launcher(os::Clock::time_point deadline) {
    for (;;) {
        const shm::SegmentLocks locks = shm::locks_of(segment_.file());
        if (locks.launcher == -1)
            fail("its launcher is not seen from here, because this process is in another process "
                 "namespace (a container)");
        if (locks.launcher == 0 && !locks.members)
            fail("the session has ended");
        launcher_ = locks.launcher;
        launcher_pidfd_ = launcher_ == 0 ? os::Fd() : os::open_pidfd(launcher_);
        if (launcher_pidfd_ && shm::locks_of(segment_.file()).launcher == launcher_)
            return;
        if (!pause_until(deadline))
            fail("its launcher process is gone or has not begun yet");
    }
}

shm::Owner Attachment::join(os::Clock::time_point deadline) {
    return await_answer(*claim_place(deadline), deadline);
}

shm::Word64* Attachment::claim_place(os::Clock::time_point deadline) {
    const JoinWord question = JoinWord::asking(getpid());
    for (;;) {
        for (shm::Word64& place : segment_.header().joins) {
            std::uint64_t nothing = 0;
            // acq_rel, edge `join`.
            if (place.compare_exchange(nothing, question.bits, std::memory_order_acq_rel,
                                       std::memory_order_acquire))
                return &place;
        }
        os::send_signal(launcher_pidfd_, join_signal); // it frees the places of the dead
        if (!session_lives())
            fail("the session has ended");
        if (!pause_until(deadline))
            fail("its launcher (process " + std::to_string(launcher_) +
                 ") does not answer, and others wait for it too");
    }
}

shm::Owner Attachment::await_answer(shm::Word64& place, os::Clock::time_point deadline) {
    const JoinWord question = JoinWord::asking(maker_);
    auto next_ring = os::Clock::now();
    bool in_time = true;
    for (;;) {
        // acquire, edge `join`: the row is ready.
        JoinWord seen{place.load(std::memory_order_acquire)};
        if (seen == question && !in_time &&
            place.compare_exchange(seen.bits, 0, std::memory_order_acq_rel,
                                   std::memory_order_acquire))
            fail("its launcher (process " + std::to_string(launcher_) + ") does not answer" +
                 (os::is_stopped(launcher_) ? ", because it is stopped" : ""));
        if (seen.phase() == JoinPhase::accepted && seen.process() == maker_) {
            place.store(0, std::memory_order_release);
            return seen.owner();
        }
        if (seen.phase() == JoinPhase::refused && seen.process() == maker_) {
            place.store(0, std::memory_order_release);
            fail(reason_of(seen.why()));
        }
        if (seen != question)
            fail("its launcher (process " + std::to_string(launcher_) +
                 ") does not see this process, which is perhaps in a process namespace of its own");
        if (!session_lives())
            fail("the session has ended");
        if (os::Clock::now() >= next_ring) {
            os::send_signal(launcher_pidfd_, join_signal);
            next_ring = os::Clock::now() + ring_again;
        }
        in_time = pause_until(deadline);
    }
}

// After the word is stored nothing of the segment is written any more: the launcher takes back what
// is held in the name of this life. If this process dies before, the launcher sees that.
void Attachment::leave() noexcept {
    const runtime::ProcessTable table(segment_);
    const runtime::Life life = table.life(me_.slot);
    if (!session_lives() || life.phase != LifePhase::attached ||
        life.incarnation != me_.incarnation)
        return;
    const runtime::Life leaving{LifePhase::exiting, me_.incarnation, life.id};
    table.set_life(me_.slot, leaving);
    os::send_signal(launcher_pidfd_, join_signal);
    const auto deadline = os::Clock::now() + patience_at_end;
    while (table.life(me_.slot) == leaving && session_lives() && pause_until(deadline)) {
    }
}

} // namespace dshm::launch
