// This process's part in a session: everything private that works on the segment, in one place.
//
// One object in each process while a session lives. The API's functions get it by `current()`.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "dshm/runtime/channel.hpp"
#include "dshm/runtime/counters.hpp"
#include "dshm/runtime/file_mappings.hpp"
#include "dshm/runtime/holdings.hpp"
#include "dshm/runtime/on_worker_death.hpp"
#include "dshm/runtime/pool_waits.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/runtime/replays.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "dshm/runtime/shared_values.hpp"
#include "dshm/runtime/task_table.hpp"
#include "dshm/runtime/whereabouts.hpp"
#include "dshm/ship/module_table.hpp"
#include "dshm/shm/heap.hpp"
#include "dshm/shm/object_table.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::runtime {

class Process {
public:
    // `session_alive` is asked before each sleep ends in another one: false means that waits must
    // throw.
    Process(shm::Segment& segment, shm::Owner me, WorkerId id,
            std::function<bool()> session_alive = nullptr);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    shm::Segment& segment() const { return *segment_; }
    shm::Header& header() const { return segment_->header(); }
    shm::Owner me() const { return me_; }
    WorkerId id() const { return id_; }
    bool is_master() const { return me_.slot == shm::master_slot; }
    // A program that is attached to the session: it runs no tasks and sends none.
    bool is_client() const { return id_ < 0; }
    // Dead workers are replaced, and what ended them is tried again (on_worker_death.hpp).
    bool restarts_workers() const {
        return header().on_worker_death == static_cast<std::uint64_t>(OnWorkerDeath::restart);
    }
    ProcessArea& area() const { return *area_; }

    ProcessTable& processes() { return processes_; }
    shm::Heap& heap() { return heap_; }
    shm::ObjectTable& objects() { return objects_; }
    TaskTable& tasks() { return tasks_; }
    Holdings& holdings() { return holdings_; }
    Scheduler& scheduler() { return scheduler_; }
    Whereabouts& whereabouts() { return whereabouts_; }
    Replays& replays() { return replays_; }
    SharedValues& shared_values() { return shared_values_; }
    Channels& channels() { return channels_; }
    FileMappings& file_mappings() { return file_mappings_; }
    PoolWaits& pool_waits() { return pool_waits_; }
    CounterRow& counters() { return counters_; }

    // Locks, looks, unlocks: a copy of the members, or one of them.
    std::vector<Membership::Member> members();
    std::optional<Membership::Member> find_member(WorkerId id);
    std::size_t worker_count() {
        renew_if_changed();
        return worker_count_.load(std::memory_order_relaxed); // relaxed: ordered by the epoch
    }
    // How many words of a ProcessMask have bits for anybody.
    unsigned mask_words() {
        renew_if_changed();
        return mask_words_.load(std::memory_order_relaxed); // relaxed: ordered by the epoch
    }

    // Throws std::runtime_error when the launcher has gone, and with it the session.
    void check_session() const;
    // What that says.
    std::string why_over() const;
    // For calls that do not wait. Only an attached program asks, about once a millisecond: others end
    // with their session, or wait for it.
    void check_session_in_passing() const {
        if (is_client()) [[unlikely]]
            look_at_session();
    }
    // Said by the launcher, which then rings those that are attached. One that was killed says nothing.
    bool session_was_closed() const {
        // acquire, edge `session-closed`.
        return is_client() && header().state.load(std::memory_order_acquire) !=
                                  static_cast<std::uint64_t>(shm::SegmentState::ready);
    }
    // Throws std::logic_error, naming `call`, in an attached program.
    void require_member(const char* call) const;

    // Called in a worker before a task's result is shown: makes sure that its output is shown
    // first.
    std::function<void()> show_output = [] {};
    // Called in a worker that was told to go when nothing runs there any more: does not return.
    std::function<void()> leave;

private:
    void renew_if_changed() {
        if (header().membership_epoch.load(std::memory_order_acquire) !=
            seen_epoch_.load(std::memory_order_acquire)) [[unlikely]]
            renew();
    }
    void renew();
    void look_at_session() const;

    shm::Segment* segment_;
    shm::Owner me_;
    WorkerId id_;
    std::function<bool()> session_alive_;
    ProcessTable processes_;
    ProcessArea* area_;
    shm::Heap heap_;
    shm::ObjectTable objects_;
    ship::ModuleRegistry modules_;
    TaskTable tasks_;
    Holdings holdings_;
    CounterRow counters_;
    Whereabouts whereabouts_;
    Scheduler scheduler_;
    Replays replays_;
    SharedValues shared_values_;
    Channels channels_;
    FileMappings file_mappings_;
    PoolWaits pool_waits_;
    std::mutex membership_lock_;
    Membership membership_;
    std::atomic<std::size_t> worker_count_{0};
    std::atomic<unsigned> mask_words_{1};
    std::atomic<std::uint64_t> seen_epoch_{~std::uint64_t{0}};
    mutable std::atomic<std::uint64_t> next_look_{0}; // in ticks
    mutable std::atomic<bool> over_{false};
};

// The process's part in the live session. Throws std::logic_error that says how to make one.
Process& current();
// The same, or null.
Process* current_or_null() noexcept;
// Counts the sessions of this process, from 1: what was looked up in one is not valid in the next.
std::uint64_t current_session() noexcept;

} // namespace dshm::runtime
