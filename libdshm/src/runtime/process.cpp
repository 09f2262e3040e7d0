#include "dshm/runtime/process.hpp"

#include <pthread.h>

#include <algorithm>
#include <stdexcept>

#include "dshm/os/clock.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/task_stream.hpp"

namespace dshm::runtime {

namespace {

std::atomic<Process*> this_process{nullptr};
std::atomic<std::uint64_t> session_number{0};

// A child that the user forks has no part in the session: its mapping is gone (MADV_DONTFORK).
void forget_in_child() {
    this_process.store(nullptr, std::memory_order_relaxed);
} // relaxed: one thread here

void forget_in_forked_children() {
    static const int registered = pthread_atfork(nullptr, nullptr, forget_in_child);
    static_cast<void>(registered);
}

} // namespace

Process& current() {
    Process* process = this_process.load(std::memory_order_acquire);
    if (process == nullptr) [[unlikely]]
        throw std::logic_error(
            "dshm: there is no session in this process; make one with `dshm::Session session(argc, "
            "argv);` as "
            "the first statement of main (a process that the program forks itself has none)");
    return *process;
}

Process* current_or_null() noexcept { return this_process.load(std::memory_order_acquire); }

std::uint64_t current_session() noexcept { return session_number.load(std::memory_order_acquire); }

Process::Process(shm::Segment& segment, shm::Owner me, WorkerId id,
                 std::function<bool()> session_alive)
    : segment_(&segment), me_(me), id_(id), session_alive_(std::move(session_alive)),
      processes_(segment), area_(&processes_.area(me.slot)), heap_(segment, me),
      objects_(segment, heap_, me),
      modules_(*segment.at<ship::ModuleTable>(segment.geometry().modules)),
      tasks_(segment, heap_, me), holdings_(tasks_, objects_), counters_(*area_),
      whereabouts_(segment, me.slot), scheduler_(*this), replays_(*this), shared_values_(objects_),
      channels_(*this), file_mappings_(segment, objects_), membership_(segment) {
    forget_in_forked_children();
    objects_.on_freeing([this](shm::ObjectTable::Ref object, const shm::ObjectView& view) {
        if (view.description.kind == object_kind::channel)
            dispose_of_channel(*this, object, segment_->base() + view.block);
        else if (view.description.kind == object_kind::file_array)
            file_mappings_.forget_gone();
    });
    modules_.make_current();
    session_number.fetch_add(1, std::memory_order_acq_rel);
    this_process.store(this, std::memory_order_release);
    begin_thread_stream(header().seed, id_);
}

Process::~Process() {
    if (current_or_null() != this)
        return;
    this_process.store(nullptr, std::memory_order_release);
    end_thread_stream();
}

std::vector<Membership::Member> Process::members() {
    const std::lock_guard guard(membership_lock_);
    return membership_.members();
}

std::optional<Membership::Member> Process::find_member(WorkerId id) {
    const std::lock_guard guard(membership_lock_);
    const Membership::Member* member = membership_.find(id);
    return member == nullptr ? std::nullopt : std::optional(*member);
}

void Process::renew() {
    const std::uint64_t epoch = header().membership_epoch.load(std::memory_order_acquire);
    const std::vector<Membership::Member> all = members();
    // Never less than before: the ring of a dead process may still hold work.
    unsigned words = mask_words_.load(std::memory_order_relaxed);
    for (const Membership::Member& member : all)
        words = std::max(words, member.owner.slot / 64u + 1);
    // relaxed: published by the epoch.
    worker_count_.store(all.size() - 1, std::memory_order_relaxed); // without the master
    mask_words_.store(words, std::memory_order_relaxed);
    seen_epoch_.store(epoch, std::memory_order_release);
}

void Process::check_session() const {
    if (!session_alive_ || session_alive_())
        return;
    over_.store(true, std::memory_order_relaxed); // relaxed: it stays so
    if (is_client())
        throw std::runtime_error("dshm: the session that this program is attached to has ended; "
                                 "arrays can be read until "
                                 "the Client is destroyed, then attach to another session");
    throw std::runtime_error(why_over());
}

std::string Process::why_over() const {
    const auto id = static_cast<WorkerId>(header().stopped_by.load(std::memory_order_acquire));
    const std::string why = id == 0 ? "its launcher process is gone"
                                    : "worker " + std::to_string(id) + " has ended (" +
                                          exit_reason(processes_.obituary(id)) +
                                          ") and on_worker_death is stop";
    return "dshm: the session has ended, because " + why +
           "; workers and shared objects went with it, a new Session may be started";
}

void Process::look_at_session() const {
    constexpr std::uint64_t microseconds_between = 1000;
    const std::uint64_t now = os::ticks();
    // relaxed, both: who looks too often or too late does no harm.
    if (!over_.load(std::memory_order_relaxed) && now < next_look_.load(std::memory_order_relaxed))
        return;
    next_look_.store(now + microseconds_between * os::ticks_per_microsecond(),
                     std::memory_order_relaxed);
    check_session();
}

void Process::require_member(const char* call) const {
    if (is_client()) [[unlikely]]
        throw std::logic_error("dshm: " + std::string(call) +
                               ": this program is attached to a session and has no part in its "
                               "work: it can read and write arrays and channels by their names; "
                               "send the session a message through a channel, or make a Session "
                               "of its own");
}

} // namespace dshm::runtime
