#include "dshm/launch/session_state.hpp"

#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <utility>

namespace dshm::launch {

namespace {

// Julia's patience with workers that are busy when the program ends.
constexpr std::chrono::milliseconds patience_at_end = std::chrono::seconds(5);

SessionState* live_state = nullptr;

// In a child that the program forks: with our files it would keep the session's memory as long as it
// lives, and hide from the launcher that the master has begun another program.
void leave_session_in_child() {
    if (SessionState* const left = std::exchange(live_state, nullptr)) {
        left->link->leave_in_child();
        left->segment.close_file();
    }
}

void leave_session_in_children() {
    static const int registered = pthread_atfork(nullptr, nullptr, leave_session_in_child);
    static_cast<void>(registered);
}

void back_first_areas(const shm::Segment& segment) {
    const runtime::ProcessTable table(segment);
    table.back_area(shm::master_slot);
    table.back_area(shm::launcher_slot);
    // A little of each table, so that a session goes on when the file system fills up: some hundred tasks and objects.
    const shm::Geometry& g = segment.geometry();
    for (const shm::Offset start : {g.tasks, g.objects, g.chunks})
        segment.backing().ensure(start, shm::chunk_size);
    table.set_life(shm::launcher_slot, {runtime::LifePhase::starting, 1, 0});
    table.set_life(shm::master_slot, {runtime::LifePhase::running, 1, 1});
    table.area(shm::master_slot)
        .os_pid.store(static_cast<std::uint32_t>(getpid()),
                      std::memory_order_relaxed); // relaxed: before anybody else is there
}

} // namespace

SessionState* current_session_state() noexcept {
    return live_state != nullptr && live_state->owner == getpid() ? live_state : nullptr;
}

SessionState::SessionState(const shm::SegmentOptions& options, bool tag_output,
                           OnWorkerDeath on_worker_death)
    : segment(shm::Segment::create(options)), owner(getpid()) {
    try {
        back_first_areas(segment);
        segment.header().on_worker_death = static_cast<std::uint64_t>(on_worker_death);
        link.emplace(segment, tag_output);
    } catch (...) {
        segment.unlink();
        throw;
    }
    segment.mapping().keep_out_of_children();
    process.emplace(segment, shm::Owner{shm::master_slot, 1}, 1, [this] {
        // acquire: what why_over() says was written before.
        return segment.header().stopped_by.load(std::memory_order_acquire) == 0 && link->alive();
    });
    process->scheduler().allow_setting_aside();
    leave_session_in_children();
    live_state = this;
}

SessionState::~SessionState() {
    live_state = nullptr;
    link->stop(patience_at_end);
    process.reset();
    segment.unlink(); // done by the launcher, unless that was killed
}

} // namespace dshm::launch
