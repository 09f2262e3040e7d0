// What the scheduler keeps for each thread, and the part of it that belongs to a stack.
#pragma once

#include <cstdint>
#include <string_view>

#include "dshm/runtime/task_record.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/sync/spin_budget.hpp"

namespace dshm::runtime {

// A task on this thread's stack, and where to look whether it should stop.
struct RunningTask {
    TaskRef task;
    const TaskRecord* record;
    const shm::Word32* interrupts;
    std::uint32_t interrupts_before;
    const RunningTask* outer;
    TaskStream* stream;

    bool should_stop() const {
        // relaxed: whoever asks it to stop rings afterwards; nothing else is read because of it.
        return (record->control.load(std::memory_order_relaxed) & control::cancelled) != 0 ||
               interrupts->load(std::memory_order_relaxed) != interrupts_before;
    }
};

// Goes with the stack when a wait is set aside.
struct StackState {
    const RunningTask* running = nullptr;
    unsigned depth = 0; // tasks on this stack
    std::uint64_t task_start = 0;
    std::string_view task_name; // of the callable that runs
    // Somebody was woken for what this thread waits for now. It often starts on our own processor, so
    // the wait yields (a loop over two workers: 7 to 11 µs, 36 without).
    bool has_woken = false;
    bool begins_nothing = false; // what it waits for apart; see Scheduler::would_bury()
};

struct ThreadState {
    waiting::SpinBudget budget;
    const char* stack_base = nullptr;
    unsigned last_victim = 0;
    unsigned last_woken = 0;
    std::uint64_t idle_tick = 0;
    std::uint64_t next_theft = 0; // not before this tick
    bool others_turn = false;     // a wait that may go on, or a new task
    StackState stack;
};

extern thread_local ThreadState thread_state;

} // namespace dshm::runtime
