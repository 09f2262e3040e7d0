// Which worker gets how much of a map, and what its caller waits for. The part that knows no types.
//
// A worker has one batch under way, and a second one behind it while batches take less than a
// millisecond, so that it need not wait for the caller. A batch is made to take 100 µs, but never
// more than a third of each worker's share of what is left. A worker that has nothing to do when all
// is sent gets half of what another one has not begun (map_batch.hpp). Used by one thread at a time;
// nothing of it is shared.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "dshm/runtime/map_batch.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/task_handle.hpp"

namespace dshm::runtime {

class MapPlan {
public:
    // `batch_size` is 0 where sizes are found here.
    MapPlan(std::vector<Membership::Member> workers, std::size_t batch_size)
        : fixed_(batch_size), workers_(workers.begin(), workers.end()) {}

    // A worker for the next batch: one with nothing to do first, in turn. Nothing when all have
    // enough, or are gone.
    std::optional<std::size_t> next_worker();
    bool somebody_idle() const;
    bool idle(std::size_t worker) const { return workers_[worker].under_way == 0; }
    const Membership::Member& member(std::size_t worker) const { return workers_[worker].member; }
    bool anybody() const { return alive_count() != 0; }
    BatchMode mode() const { return fixed_ == 0 ? BatchMode::bounded : BatchMode::whole; }
    // How many elements the next batch has, when so many are left, if that is known.
    std::size_t batch(std::optional<std::size_t> left) const;

    void note_sent(std::size_t worker) { ++workers_[worker].under_way; }
    void note_ended(std::size_t worker) { --workers_[worker].under_way; }
    void note_speed(const BatchReply& reply);
    // It has ended; the one in its place, if there is one, goes on as the same worker.
    void note_gone(Process& process, std::size_t worker);

private:
    struct Worker {
        Worker(const Membership::Member& m) : member(m) {}
        Membership::Member member;
        unsigned under_way = 0;
        bool gone = false;
    };
    std::size_t alive_count() const;
    unsigned depth() const;

    std::size_t fixed_;
    std::vector<Worker> workers_;
    std::size_t turn_ = 0;
    double ticks_each_ = 0;           // of an element; 0: unknown
    std::uint64_t ticks_of_last_ = 0; // batch
};

// The workers of a map: those in `ids` that live, or all of the moment; this process if there are
// none. Throws ProcessExitedException when none of `ids` lives, std::invalid_argument for an id that
// never was.
std::vector<Membership::Member> map_workers(Process& process, const std::vector<int>* ids);

// A batch under way.
class SentBatch {
public:
    SentBatch(TaskHandle task, std::size_t worker, std::size_t count)
        : task_(std::move(task)), worker_(worker), count_(count), sent_(os::Clock::now()) {}

    const TaskHandle& task() const { return task_; }
    std::size_t worker() const { return worker_; }
    // Elements that it still has.
    std::size_t count() const { return count_; }

    // Takes it back as a whole, unless it has begun. It has ended then.
    bool withdraw() const;
    // Takes back half of what it has not begun, or all of that; gives how many.
    enum class Share { half, all };
    std::size_t take_back(Share share);
    // The element that ran when its worker died. Nothing when it had not begun.
    std::optional<std::size_t> element_at_death() const;
    // Ends it as soon as can be; nobody will look at how.
    void abandon() const;
    // From then on, what it has not begun may be taken back for a worker that has nothing to do.
    os::Clock::time_point ripe() const;

private:
    TaskHandle task_;
    std::size_t worker_;
    std::size_t count_;
    os::Clock::time_point sent_;
};

// Waits until any of some tasks has ended. A look costs little: it goes on where the last one ended.
// None of them is run on top of this wait, which would then last until just that one has ended.
class AnyTask final : public WaitFor {
public:
    AnyTask(Process& process, const std::vector<TaskRef>& tasks)
        : process_(&process), tasks_(&tasks) {}

    bool ready() override;
    void about_to_sleep() override;
    bool interruptible() const override { return interruptible_; }
    void for_each_key(const std::function<void(EventKey)>& f) const override;
    void do_not_interrupt() { interruptible_ = false; }
    // The index of one that has ended.
    std::size_t ended() const { return next_; }

private:
    bool look_at(std::size_t count);

    Process* process_;
    const std::vector<TaskRef>* tasks_;
    std::size_t next_ = 0;
    bool asleep_ = false;
    bool interruptible_ = true;
};

} // namespace dshm::runtime
