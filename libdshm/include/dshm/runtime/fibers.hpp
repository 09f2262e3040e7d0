// Waits that are set aside: the stacks they lie on, and what makes them go on.
//
// A task runs on the stack of the loop that found it, as a plain call. When it has to wait and there
// is other work, its wait is *set aside*: the stack stays as it is, and the process goes on on
// another one, on which a loop runs other tasks. When the wait may go on, the loop that runs at that
// moment, which has nothing on its stack, switches back and is kept for the next time. So a task
// that never waits costs nothing, and one that waits keeps exactly its own stack.
//
// One stack is active at a time, and all belong to one thread: the one that made the session, or
// the worker's first one. Other threads wait where they are.
//
// A wait names by keys what it waits for: the index of a task or an object. Whoever makes it true
// puts that into the process's ring of events, so 10,000 waits cost nothing while nothing happens to
// them. Events are hints: one that was lost, because the ring was full or its sender died, is made
// up for by a look at every wait (ProcessArea::look_at_all, and after a full second of sleep). Waits
// without keys are asked each time.
//
// When the process dies, all of this goes with it, and what it ran is failed as ever.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "dshm/os/clock.hpp"
#include "dshm/queue/index_ring.hpp"

namespace dshm::runtime {

class FiberStack;
class Process;
class WaitFor;

// What an event is about; several things may share a key.
using EventKey = std::uint32_t;
constexpr EventKey task_key(std::uint32_t index) { return index; }
constexpr EventKey object_key(std::uint32_t index) { return 1u << 16 | index; }
// and, with 1 << 17, the other side of the same object
// Of a wait that nothing but its deadline ends.
inline constexpr EventKey no_key = ~EventKey{0};
// As an entry of a ring: the key's kind takes the place of the generation.
constexpr queue::Entry event_of(EventKey key) {
    return {static_cast<std::uint16_t>(key), key >> 16};
}
constexpr EventKey key_of(queue::Entry event) { return event.generation << 16 | event.index; }

class Fibers {
public:
    // Of the calling thread. `loop` runs on every further stack: it calls resume_one() when it has
    // nothing else to do, and never returns.
    Fibers(Process& process, std::function<void()> loop);
    ~Fibers();
    Fibers(const Fibers&) = delete;
    Fibers& operator=(const Fibers&) = delete;

    // The calling thread is the one whose waits can be set aside.
    bool here() const noexcept { return of_thread_ == this; }
    // How many waits are set aside.
    std::size_t count() const noexcept { return count_; }

    // Sets the calling wait aside and goes on with a loop on another stack, or with a wait that may
    // go on. Returns when this one may: it is ready, past its deadline, or told to stop; or when
    // there was nothing else to do. False, with nothing done, when there is no memory for a stack.
    enum class Next { loop, wait };
    bool set_aside(WaitFor& what, os::Clock::time_point deadline, Next next);
    // For a loop with nothing on its stack: goes on with a wait that may, or else with the oldest.
    // Returns when a loop is needed again.
    void resume_one();

    // Whether a wait that is set aside may go on, after a look at what has happened.
    bool look();
    // Whether a look is worth while; cheap.
    bool something_happened() const;
    void look_at_all() noexcept { look_at_all_ = true; }
    // The first deadline of the waits that are set aside.
    os::Clock::time_point next_deadline() const;

private:
    struct Waiting;
    struct Waits;

    FiberStack* spare_stack();
    void keep_spare();
    void switch_to(FiberStack& stack);
    void enlist(Waiting& waiting);
    void go_on_with(Waiting& waiting);
    void consider(Waiting& waiting);
    void consider_all();
    bool must_look_at_all() const;
    void take_events();

    static inline thread_local constinit Fibers* of_thread_ = nullptr;

    Process* process_;
    std::function<void()> loop_;
    std::size_t stack_size_;
    std::unique_ptr<FiberStack> own_; // the thread's
    FiberStack* active_;
    std::unordered_map<FiberStack*, std::unique_ptr<FiberStack>> mapped_;
    std::vector<FiberStack*> spare_; // of mapped_: those with nothing but a loop on them
    std::unique_ptr<Waits> waits_;
    std::size_t count_ = 0;
    bool look_at_all_ = false;
    std::uint32_t looks_seen_ = 0;
    std::uint32_t interrupts_seen_ = 0;
};

} // namespace dshm::runtime
