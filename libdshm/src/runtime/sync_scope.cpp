#include "dshm/runtime/sync_scope.hpp"

#include <algorithm>

#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/loop_end.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/task_wait.hpp"

namespace dshm::runtime {

namespace {

// Tasks under way before the oldest are looked at: their records are then cold in the workers'
// caches, and looking does not take lines away from tasks that run.
constexpr std::size_t under_way = 1024;
constexpr std::size_t at_once = 256;

} // namespace

SyncScope::~SyncScope() {
    current_ = outer_;
    if (current_or_null() != process_)
        return;
    for (std::size_t i = first_; i < tasks_.size(); ++i)
        process_->holdings().drop(tasks_[i]);
    for (const Task& failed : failed_)
        process_->holdings().drop(failed.task);
}

void SyncScope::add(TaskRef task) {
    process_->holdings().add(task);
    tasks_.push_back(task);
    ++noted_;
    if (tasks_.size() - first_ >= under_way && tasks_.size() % at_once == 0)
        let_go_of_ended();
}

void SyncScope::add(std::shared_ptr<LoopEnd> loop) {
    while (!loops_.empty() && loops_.front().end->ended() && !loops_.front().end->failed())
        loops_.pop_front();
    loops_.push_back({noted_, std::move(loop)});
}

void SyncScope::let_go_of_ended() {
    for (std::size_t i = 0; i < 2 * at_once && first_ < tasks_.size(); ++i) {
        if (first_ + 8 < tasks_.size())
            __builtin_prefetch(&process_->tasks().record(tasks_[first_ + 8]), 1);
        const TaskRef task = tasks_[first_];
        const TaskState state = process_->tasks().state(task);
        if (state.generation == task.generation && !is_finished(state.phase))
            break;
        if (state.phase == TaskPhase::done)
            process_->holdings().drop(task);
        else
            failed_.push_back({place(first_), task}); // or moved out: looked at in the end
        ++first_;
    }
    if (first_ > tasks_.size() / 2) {
        tasks_.erase(tasks_.begin(), tasks_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }
}

std::vector<std::exception_ptr> SyncScope::wait_all() {
    for (; first_ < tasks_.size(); ++first_)
        failed_.push_back({place(first_), tasks_[first_]});
    tasks_.clear();
    first_ = 0;
    std::vector<std::exception_ptr> failures;
    std::reverse(failed_.begin(), failed_.end()); // taken from the back: what is gone is gone
    while (!failed_.empty()) {
        const Task next = failed_.back();
        wait_for_loops(next.place, failures);
        wait_for_task(*process_, next.task);
        process_->holdings().read(next.task, [&](const ResultView& result) {
            if (result.phase == TaskPhase::failed)
                failures.push_back(failure_of(result));
        });
        failed_.pop_back();
        process_->holdings().drop(next.task);
    }
    wait_for_loops(noted_, failures);
    return failures;
}

// Those that were started before the task at that place.
void SyncScope::wait_for_loops(std::size_t place, std::vector<std::exception_ptr>& failures) {
    for (; !loops_.empty() && loops_.front().place <= place; loops_.pop_front()) {
        loops_.front().end->wait_until(os::Clock::time_point::max());
        for (std::exception_ptr& failure : loops_.front().end->failures())
            failures.push_back(std::move(failure));
    }
}

} // namespace dshm::runtime
