#include "dshm/runtime/local_tasks.hpp"

#include <utility>

#include "dshm/runtime/call.hpp"

namespace dshm::runtime {

namespace {

using Body = std::function<void()>;

// Only ever sent to its own process, where the address means what it means.
struct RunLocally {
    void operator()(std::uintptr_t body) const { (*reinterpret_cast<const Body*>(body))(); }
};

} // namespace

std::size_t LocalTasks::start(std::function<void()> body) {
    tasks_.reserve(tasks_.size() + 1);
    refs_.reserve(refs_.size() + 1);
    auto kept = std::make_unique<Body>(std::move(body));
    const TaskRef task =
        send_call_once<RunLocally>(*process_, Membership::Member{process_->id(), process_->me()},
                                   RunLocally(), reinterpret_cast<std::uintptr_t>(kept.get()));
    tasks_.push_back({TaskHandle::adopt(task), std::move(kept), started_});
    refs_.push_back(task);
    return started_++;
}

std::optional<std::size_t> LocalTasks::wait(os::Clock::time_point deadline) {
    AnyTask any(*process_, refs_);
    if (!process_->scheduler().wait_until(any, deadline))
        return std::nullopt;
    return remove(any.ended());
}

std::size_t LocalTasks::remove(std::size_t index) {
    process_->holdings().observe(refs_[index]); // a body does not fail; a cancelled one is no news
    const std::size_t number = tasks_[index].number;
    tasks_.erase(tasks_.begin() + static_cast<std::ptrdiff_t>(index));
    refs_.erase(refs_.begin() + static_cast<std::ptrdiff_t>(index));
    return number;
}

LocalTasks::~LocalTasks() {
    for (const Task& task : tasks_)
        task.handle.cancel();
    try {
        while (!refs_.empty()) {
            AnyTask any(*process_, refs_);
            any.do_not_interrupt();
            process_->scheduler().wait(any);
            remove(any.ended());
        }
    } catch (...) {
        // The session is over: what has not ended never goes on, and its closure stays for ever.
        for (Task& task : tasks_)
            static_cast<void>(task.body.release());
    }
}

} // namespace dshm::runtime
