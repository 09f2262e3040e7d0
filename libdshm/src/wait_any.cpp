#include "dshm/wait_any.hpp"

#include "dshm/runtime/scheduler.hpp"

namespace dshm::detail {

namespace {

class AnyEnded final : public runtime::WaitFor {
public:
    explicit AnyEnded(std::span<const AnyFuture> futures) : futures_(futures) {}

    bool ready() override {
        for (ended_ = 0; ended_ < futures_.size(); ++ended_)
            if (futures_[ended_].news(futures_[ended_].future))
                return true;
        return false;
    }
    void about_to_sleep() override {
        for (const AnyFuture& future : futures_)
            future.announce(future.future);
    }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        for (const AnyFuture& future : futures_)
            future.keys(future.future, f);
    }
    std::size_t ended() const { return ended_; }

private:
    std::span<const AnyFuture> futures_;
    std::size_t ended_ = 0;
};

} // namespace

std::size_t wait_any(std::span<const AnyFuture> futures) {
    if (futures.empty())
        throw std::invalid_argument("dshm: wait_any of no futures would wait for ever");
    for (;;) {
        AnyEnded any(futures);
        runtime::current().scheduler().wait(any);
        const AnyFuture& future = futures[any.ended()];
        if (future.ready(future.future)) // else only a part of a loop has ended
            return any.ended();
    }
}

void wait_all(std::span<const AnyFuture> futures) {
    std::vector<std::exception_ptr> failures;
    for (const AnyFuture& future : futures)
        try {
            future.wait(future.future);
        } catch (...) {
            if (runtime::stop_requested() && !future.ready(future.future))
                throw; // this task was told to stop
            failures.push_back(std::current_exception());
        }
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

} // namespace dshm::detail
