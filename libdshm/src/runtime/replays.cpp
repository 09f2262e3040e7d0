#include "dshm/runtime/replays.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/ship/function_id.hpp"

namespace dshm::runtime {

bool Replays::first_time(std::uint64_t order) {
    const std::lock_guard guard(lock_);
    return made_.insert(order).second;
}

void Replays::make(TaskRef call) {
    const TaskRecord& record = process_->tasks().record(call);
    // relaxed: published with the record, which the caller has seen as kept.
    if (!first_time(record.shares.load(std::memory_order_relaxed)))
        return;
    Execution execution(*process_, call, Execution::Result::dropped);
    const auto* operation =
        static_cast<const Operation*>(ship::function_address({record.function}));
    operation->run(execution);
}

void Replays::make_all() {
    // acquire, edge `kept`: a call whose number is counted here and that is not seen below reaches
    // this process as a task.
    if (process_->header().kept_calls.load(std::memory_order_acquire) == 0)
        return;
    std::vector<std::pair<std::uint64_t, TaskRef>> calls;
    for (std::uint32_t index = 0; index < process_->tasks().top(); ++index) {
        const TaskRecord& record = process_->tasks().record(index);
        const auto state = TaskState::from_bits(record.state.load(std::memory_order_acquire));
        if (state.phase == TaskPhase::kept)
            calls.emplace_back(record.shares.load(std::memory_order_relaxed), // relaxed: as above
                               TaskRef{index, state.generation});
    }
    std::sort(calls.begin(), calls.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    for (const auto& [order, call] : calls)
        make(call);
}

} // namespace dshm::runtime
