#include "dshm/future.hpp"

#include <type_traits>

#include "dshm/errors.hpp"

namespace dshm {

static_assert(std::is_standard_layout_v<Future<int>> && std::is_standard_layout_v<Future<void>>,
              "a closure that captures a future must be standard-layout to be sent");

Future<void>::Future(int owner) : handle_(runtime::TaskHandle::make_open(owner)) {}

Future<void> Future<void>::of_task(runtime::TaskRef task) {
    return Future(runtime::TaskHandle::adopt(task));
}

namespace {

// A payload can hold one task's handle and not a list of them.
const Future<void>& checked(const Future<void>& future, bool loop) {
    if (loop && ship::ShippingScope::current_sending() != nullptr)
        throw std::invalid_argument("dshm: the Future of a loop cannot be sent to another process; "
                                    "wait for it here, or send a Future that is put afterwards");
    return future;
}

} // namespace

Future<void>::Future(const Future& other)
    : handle_(checked(other, other.loop_ != nullptr).handle_), loop_(other.loop_) {}

Future<void>& Future<void>::operator=(const Future& other) {
    Future copy(other);
    return *this = std::move(copy);
}

Future<void> Future<void>::of_loop(std::shared_ptr<runtime::LoopEnd> loop) {
    Future future{runtime::TaskHandle()};
    future.loop_ = std::move(loop);
    return future;
}

void Future<void>::put() const {
    if (loop_)
        throw std::logic_error("dshm: a loop's Future cannot be put");
    runtime::put_result(handle_, ship::Unit{});
}

void Future<void>::wait() const {
    wait_until(os::Clock::time_point::max());
    if (!loop_)
        return handle_.throw_if_failed();
    std::vector<std::exception_ptr> failures = loop_->failures();
    if (failures.size() == 1)
        std::rethrow_exception(failures[0]);
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

bool Future<void>::wait_until(os::Clock::time_point deadline) const {
    return loop_ ? loop_->wait_until(deadline) : handle_.wait_until(deadline);
}

bool Future<void>::isready() const { return loop_ ? loop_->ended() : handle_.ended(); }

void Future<void>::announce_waiting() const {
    loop_ ? loop_->announce_waiting() : handle_.announce_waiting();
}

void Future<void>::for_each_key(const std::function<void(runtime::EventKey)>& f) const {
    loop_ ? loop_->for_each_key(f) : f(runtime::task_key(handle_.task().index));
}

bool Future<void>::cancel() const { return loop_ ? loop_->cancel() : handle_.cancel(); }

int Future<void>::where() const { return loop_ ? myid() : handle_.where(); }

} // namespace dshm
