// What this process holds: handles of tasks, results that had to leave the table, and objects
// pinned for others.
//
// *Handles* are counted here, privately; the segment knows one share for each process that has any
// (task_record.hpp). The last handle gives the share back, and the record if the task has ended and
// nobody else holds it; else whoever ends the task, or holds it last, does.
//
// *Moved results*: when the table runs full, results that are held but not looked at leave it for
// ordinary memory. So a program may hold any number of finished futures. One that is sent somewhere
// after that gets a record again, for as long as it is held here.
//
// *Pins*: a handle inside a payload that is under way belongs to no process. The process that wrote
// the payload holds the object until the task has ended (arguments) or its record is free
// (results), noticed lazily: at the next pin, wait or drop. If that process dies, the launcher
// takes the pins over before it clears the dead one's bits (recovery.hpp).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dshm/base/scope_guard.hpp"
#include "dshm/runtime/task_table.hpp"
#include "dshm/ship/shipping.hpp"
#include "dshm/shm/object_table.hpp"
#include "dshm/shm/private_lock.hpp"

namespace dshm::runtime {

// The tables that HandleRef::kind names.
namespace handle_kind {
inline constexpr std::uint32_t object = 1; // shm::ObjectTable
inline constexpr std::uint32_t task = 2;   // TaskTable
} // namespace handle_kind

inline ship::HandleRef handle_of(TaskRef task) {
    return {handle_kind::task, task.index, task.generation};
}

// A finished task's result, wherever it lies.
struct ResultView {
    TaskPhase phase;
    ResultForm form;
    std::span<const std::byte> bytes;
};

class Holdings {
public:
    Holdings(TaskTable& tasks, shm::ObjectTable& objects);

    // The first handle of a task that this process has reserved; its control word already says
    // `held`.
    void adopt(TaskRef task) {
        const shm::PrivateLock::Guard guard(lock_);
        holds_[task.index] = {task.generation, 1};
    }
    void add(TaskRef task) {
        const shm::PrivateLock::Guard guard(lock_);
        if (in_table(task)) [[likely]]
            ++holds_[task.index].count;
        else
            ++moved_.at(key(task)).count;
    }
    // A handle that has arrived in a payload, or the first one for a pin. False when the task is
    // gone.
    bool acquire(TaskRef task) {
        const shm::PrivateLock::Guard guard(lock_);
        return acquire_locked(task);
    }
    // Gives a handle back. A failure that nobody has looked at is printed with the last one.
    // Touches no shared memory unless it is the last.
    void drop(TaskRef task) {
        bool here, observed = false;
        {
            const shm::PrivateLock::Guard guard(lock_);
            Hold& hold = holds_[task.index];
            here = in_table(task);
            if (here) [[likely]] {
                if (--hold.count != 0)
                    return;
                observed = hold.observed;
                hold = {};
                if (!payloads_.empty() && payloads_.contains(key(task))) [[unlikely]]
                    return keep_for_payloads(task, observed);
            }
        }
        if (here) [[likely]]
            drop_last(task, observed);
        else
            drop_moved(task);
    }
    // Somebody has looked at how the task ended, or will not.
    void observe(TaskRef task);

    // Calls f(ResultView) for a task that has ended and is held here, and marks it as looked at.
    // With several threads f reads a copy, because another thread may make room meanwhile; a large
    // result stays in the table instead while it is read.
    template <class F>
    decltype(auto) read(TaskRef task, F&& f) {
        observe(task);
        return look(task, std::forward<F>(f));
    }
    // The same for who does not tell anybody how it ended.
    template <class F>
    decltype(auto) look(TaskRef task, F&& f) {
        if (__libc_single_threaded)
            return f(view_of(task));
        std::vector<std::byte> copy;
        ResultView view{};
        bool stays = false;
        {
            const shm::PrivateLock::Guard guard(lock_);
            view = view_of(task);
            stays = view.bytes.size() > largest_copy && in_table(task);
            if (stays)
                ++payloads_[key(task)];
            else
                copy.assign(view.bytes.begin(), view.bytes.end());
        }
        if (stays) {
            const base::ScopeGuard leave([&] { release_for_payload(task); });
            return f(static_cast<const ResultView&>(view));
        }
        view.bytes = copy;
        return f(static_cast<const ResultView&>(view));
    }

    // A result that has left the table, for the one who puts it back there; null if it has not.
    struct Copy {
        TaskPhase phase;
        ResultForm form;
        std::vector<std::byte> bytes;
        std::vector<ship::HandleRef> handles;
    };
    std::optional<Copy> moved_copy(TaskRef task);
    // The record under which a moved task is sent, if there is one already.
    std::optional<TaskRef> republished(TaskRef task);
    // Remembers it; the handle is held until the moved result's last one goes. False when another
    // thread was faster.
    bool note_republished(TaskRef task, TaskRef record);

    // Asks to be rung at the end of every task held here.
    void ask_to_be_rung();
    // Moves the results of ended tasks out of the table. Gives how many records that freed.
    std::size_t make_room();

    enum class PinUntil { ended, freed };
    void pin(TaskRef task, std::span<const ship::HandleRef> handles, PinUntil until);
    // The same for a block that is this process's own until it is tagged so, and needed until that
    // ends.
    void pin_block(shm::Offset block, shm::Tag tag, std::span<const ship::HandleRef> handles);
    // A hold on each of these, for as long as the caller wants; gives those that were still there.
    std::vector<ship::HandleRef> hold(std::span<const ship::HandleRef> handles);
    void let_go(std::span<const ship::HandleRef> held) { release(held); }
    // Lets go of what need not be pinned any more. O(pins).
    void release_pins();
    // The same when a handle of an object has been dropped: at once when nothing but pins holds the
    // object here now, else once for as many drops as there are pins, so that a drop costs O(1).
    void release_pins_after_drop(shm::ObjectTable::Ref object);
    // The same before the process sleeps: at once when there are few, now and then when there are many.
    void release_pins_before_sleep();
    bool pins_anything() const {
        return pin_count_.load(std::memory_order_relaxed) != 0;
    } // relaxed: a hint

private:
    // A copy of a larger result costs more than keeping it in the table.
    static constexpr std::size_t largest_copy = 4096;

    struct Moved {
        std::unique_ptr<std::byte[]> bytes;
        std::size_t size = 0;
        TaskPhase phase{};
        ResultForm form{};
        bool observed = false;
        std::uint32_t count = 0;
        std::vector<ship::HandleRef> handles; // in the bytes: held on their behalf
        std::optional<TaskRef> republished;
    };
    struct Pin {
        TaskRef task;
        PinUntil until;
        std::vector<ship::HandleRef> handles;
        shm::Offset block = 0; // instead of a task
        shm::Tag tag{};
    };
    void keep(Pin pin);
    // This process's handles of one record: of which generation, how many, and whether somebody has
    // looked at the result.
    struct Hold {
        std::uint32_t generation = 0;
        std::uint32_t count : 31 = 0;
        std::uint32_t observed : 1 = 0;

        Hold() = default;
        Hold(std::uint32_t g, std::uint32_t n) : generation(g), count(n) {}
    };
    struct Freed {
        void operator()(Hold* holds) const { std::free(holds); }
    };

    static constexpr std::uint64_t key(TaskRef task) {
        return std::uint64_t{task.generation} << 32 | task.index;
    }
    bool in_table(TaskRef task) const {
        return holds_[task.index].count != 0 && holds_[task.index].generation == task.generation;
    }
    ResultView view_of(TaskRef task);
    void drop_moved(TaskRef task);
    void drop_last(TaskRef task, bool observed);
    void keep_for_payloads(TaskRef task, bool observed);
    void settle(TaskRef task, bool observed);
    void free_ended(TaskRef task, bool observed);
    void note_seen(TaskRef task);
    bool acquire_locked(TaskRef task);
    std::vector<ship::HandleRef> acquire_for_payload(std::span<const ship::HandleRef> handles);
    bool acquire_for_payload(const ship::HandleRef& handle);
    void release_for_payload(TaskRef task);
    void release(std::span<const ship::HandleRef> handles);
    bool move_out(std::uint32_t index);
    bool still_needed(const Pin& pin) const;
    bool only_pins_hold(shm::ObjectTable::Ref object);
    void count_pinned(std::span<const ship::HandleRef> handles, int change);
    void ring_holders(std::span<const ship::HandleRef> handles) const;
    std::vector<Pin>::iterator finished_pins();

    TaskTable* tasks_;
    shm::ObjectTable* objects_;
    std::unique_ptr<Hold[], Freed> holds_; // by record; pages are touched as records are used
    shm::PrivateLock lock_;                // guards holds_, moved_ and payloads_
    std::unordered_map<std::uint64_t, Moved> moved_;
    // Tasks whose handles lie in payloads that this process keeps for others: they stay in the
    // table. How many such handles there are; they share the process's share with its own.
    std::unordered_map<std::uint64_t, std::uint32_t> payloads_;
    std::mutex pins_lock_;
    std::vector<Pin> pins_;
    std::unordered_map<std::uint32_t, std::uint32_t> pinned_; // handles in pins, by object's index
    std::atomic<std::size_t> pin_count_{0};
    std::atomic<std::uint64_t> looked_at_{0}; // os::ticks() of the last look
    std::atomic<std::size_t> drops_{0};       // of handles, since the last look
    std::size_t pins_sweep_at_ = 16;
};

// Prints a failure that nobody will fetch, once, to standard error.
void report_failure(const ResultView& result);

} // namespace dshm::runtime
