#include "dshm/runtime/loop_end.hpp"

#include <algorithm>
#include <cstring>

#include "dshm/runtime/process.hpp"
#include "dshm/runtime/scheduler.hpp"

namespace dshm::runtime {

namespace {

// Some part may have ended. Parts may lie on this very thread, set aside.
class News final : public WaitFor {
public:
    explicit News(LoopEnd& loop) : loop_(&loop) {}
    bool ready() override { return loop_->news(); }
    void about_to_sleep() override { loop_->announce_waiting(); }
    void for_each_key(const std::function<void(EventKey)>& f) const override {
        loop_->for_each_key(f);
    }

private:
    LoopEnd* loop_;
};

} // namespace

void LoopEnd::wait_regardless() {
    while (!ended()) {
        News news(*this);
        current().scheduler().wait(news);
    }
}

std::exception_ptr failure_of(const TaskHandle& ended) {
    try {
        ended.throw_if_failed();
    } catch (...) {
        return std::current_exception();
    }
    return nullptr;
}

std::optional<ResultForm> form_of_failure(const TaskHandle& ended) {
    return ended.process().holdings().look(
        ended.task(), [](const ResultView& result) -> std::optional<ResultForm> {
            if (result.phase == TaskPhase::failed)
                return result.form;
            return std::nullopt;
        });
}

ExitMoment ended_at(const TaskHandle& ended) {
    return ended.process().holdings().look(ended.task(), [](const ResultView& result) {
        ExitNote note{};
        std::memcpy(&note, result.bytes.data(), std::min(result.bytes.size(), sizeof note));
        return note.moment;
    });
}

bool TaskEnds::wait_until(os::Clock::time_point deadline) {
    return std::all_of(tasks_.begin(), tasks_.end(),
                       [&](const TaskHandle& task) { return task.wait_until(deadline); });
}

bool TaskEnds::ended() {
    return std::all_of(tasks_.begin(), tasks_.end(),
                       [](const TaskHandle& task) { return task.ended(); });
}

bool TaskEnds::failed() {
    return std::any_of(tasks_.begin(), tasks_.end(),
                       [](const TaskHandle& task) { return form_of_failure(task).has_value(); });
}

std::vector<std::exception_ptr> TaskEnds::failures() {
    std::vector<std::exception_ptr> failures;
    for (const TaskHandle& task : tasks_)
        if (auto failure = failure_of(task))
            failures.push_back(std::move(failure));
    return failures;
}

void TaskEnds::announce_waiting() {
    for (const TaskHandle& task : tasks_)
        task.announce_waiting();
}

void TaskEnds::for_each_key(const std::function<void(EventKey)>& f) {
    for (const TaskHandle& task : tasks_)
        f(task_key(task.task().index));
}

bool TaskEnds::cancel() {
    bool any = false;
    for (const TaskHandle& task : tasks_)
        any = task.cancel() || any;
    return any;
}

} // namespace dshm::runtime
