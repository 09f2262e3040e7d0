// A pool of workers as one process works on it.
//
// Resident: a PoolHead in one object of the segment; the truth about each member is its word
// (queue/member_queue.hpp). Any process that holds the object may call all of it.
//
// Waiting: who waits for a free member sets its process's bit in `waiters` and looks again; who makes
// one free clears one bit and wakes that process, which hands the wake on when it leaves and
// somebody is free. A wait that finds its bit cleared and nobody free sets it again.
//
// A task that is sent through a pool names pool and member in its record, with control::pooled.
// Whoever ends the task gives the member back: the worker after it ran it, whoever cancels it before.
// Until then the member's word names the worker itself, so the death of the one that sent the task
// changes nothing.
//
// Death: the launcher frees what the dead one had taken and strikes it off (recover_pools); then it
// rings everybody, so who waits learns that nobody is left.
#pragma once

#include <optional>
#include <vector>

#include "dshm/os/clock.hpp"
#include "dshm/queue/member_queue.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::runtime {

//   0         32           40 … 128   128             2304
//   | waiters | last woken | unused   | member queue  |
struct PoolHead {
    shm::ProcessMask waiters;
    shm::Word64 last_woken; // a slot, so that wakes go round
    std::uint64_t unused[11];
    queue::MemberQueue members;
};
static_assert(sizeof(PoolHead) == 2304 && offsetof(PoolHead, members) == 128,
              "who waits and who is free, on lines of their own");
static_assert(std::is_standard_layout_v<PoolHead>, "it lies in the segment");

// One that was taken; `seat` is empty for process 1, which stands in for the workers of an empty
// default pool.
struct TakenWorker {
    Membership::Member worker;
    std::optional<queue::TakenMember> seat;
};

class Pool {
public:
    // The object must outlive it.
    Pool(Process& process, const ObjectHandle& object)
        : process_(&process), object_(object.object()),
          head_(static_cast<PoolHead*>(object.address())) {}
    Pool(Process& process, shm::ObjectTable::Ref object);

    static ObjectHandle make();
    // What a word calls the object: index + 1, generation from bit 32 on; 0 is none.
    static std::uint64_t word_of(shm::ObjectTable::Ref object) {
        return std::uint64_t{object.generation} << 32 | (object.index + 1);
    }
    static shm::ObjectTable::Ref object_in(std::uint64_t word) {
        return {static_cast<std::uint32_t>(word) - 1, static_cast<std::uint32_t>(word >> 32)};
    }

    // False if it is a member already.
    bool add(shm::Owner member);
    // The one that has been free for longest; nothing when the deadline came first. Throws
    // std::runtime_error when no member lives. Interruptible.
    std::optional<TakenWorker> take(os::Clock::time_point deadline) const;
    // False, with nothing done, if it was not taken, or not by this.
    bool give_back(const TakenWorker& taken) const;
    bool give_back(shm::Owner member) const;
    // The task that names it will give it back.
    void hand_over(const TakenWorker& taken) const;
    PoolPlace place_of(const TakenWorker& taken) const;

    // Somebody is free. Throws nothing.
    bool has_free() const;
    // Until somebody is. Throws as take().
    void wait() const;
    // Live members, ascending; of an empty default pool none.
    std::vector<WorkerId> members() const;
    // The pool that calls without one use.
    bool is_default() const;

    // For waits and calls.
    Process& process() const { return *process_; }
    PoolHead& head() const { return *head_; }
    shm::ObjectTable::Ref object() const { return object_; }
    bool alive(shm::Owner member) const {
        const Life life = process_->processes().life(member.slot);
        return life.incarnation == member.incarnation && life.active();
    }
    std::optional<TakenWorker> try_take() const;
    void wake_one() const;

private:
    std::optional<TakenWorker> stand_in() const;

    Process* process_;
    shm::ObjectTable::Ref object_;
    PoolHead* head_;
};

// At the end of a task that was sent through a pool, before it is seen to have ended.
void give_back_worker(Process& process, TaskRef task) noexcept;
// After a death, by the launcher.
void recover_pools(Process& launcher, shm::Owner dead,
                   const std::optional<Membership::Member>& successor);

} // namespace dshm::runtime
