#include "dshm/timedwait.hpp"

#include <thread>

#include "dshm/runtime/process.hpp"

namespace dshm::detail {

namespace {

// Nothing but the deadline ends it.
class Nothing final : public runtime::WaitFor {
public:
    bool ready() override { return false; }
    bool interruptible() const override { return true; }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        f(runtime::no_key);
    }
};

} // namespace

void sleep_until(os::Clock::time_point deadline) {
    runtime::Process* process = runtime::current_or_null();
    if (process == nullptr) {
        std::this_thread::sleep_until(deadline);
        return;
    }
    Nothing nothing;
    process->scheduler().wait_until(nothing, deadline);
}

void check_poll_interval(std::chrono::duration<double> poll) {
    if (poll < std::chrono::milliseconds(1))
        throw std::invalid_argument("dshm: timedwait: the poll interval must be at least 1 ms");
}

} // namespace dshm::detail
