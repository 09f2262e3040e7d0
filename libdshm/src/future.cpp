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
    : handle_(checked(other, other.parts_ != nullptr).handle_), parts_(other.parts_) {}

Future<void>& Future<void>::operator=(const Future& other) {
    Future copy(other);
    return *this = std::move(copy);
}

template <class F>
void Future<void>::for_each_part(F&& f) const {
    if (!parts_)
        return f(handle_);
    for (const runtime::TaskHandle& part : *parts_)
        f(part);
}

Future<void> Future<void>::join(const std::vector<Future>& futures) {
    Parts parts;
    for (const Future& future : futures)
        future.for_each_part([&](const runtime::TaskHandle& part) { parts.push_back(part); });
    Future joined{runtime::TaskHandle()};
    joined.parts_ = std::make_shared<const Parts>(std::move(parts));
    return joined;
}

void Future<void>::put() const {
    if (parts_)
        throw std::logic_error("dshm: a loop's Future cannot be put");
    runtime::put_result(handle_, ship::Unit{});
}

void Future<void>::wait() const {
    std::vector<std::exception_ptr> failures;
    for_each_part([](const runtime::TaskHandle& part) { part.wait(); });
    for_each_part([&](const runtime::TaskHandle& part) {
        try {
            part.throw_if_failed();
        } catch (...) {
            failures.push_back(std::current_exception());
        }
    });
    if (failures.size() == 1)
        std::rethrow_exception(failures[0]);
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

bool Future<void>::wait_until(os::Clock::time_point deadline) const {
    bool all = true;
    for_each_part([&](const runtime::TaskHandle& part) { all = all && part.wait_until(deadline); });
    return all;
}

bool Future<void>::isready() const {
    bool all = true;
    for_each_part([&](const runtime::TaskHandle& part) { all = all && part.ended(); });
    return all;
}

void Future<void>::announce_waiting() const {
    for_each_part([](const runtime::TaskHandle& part) { part.announce_waiting(); });
}

void Future<void>::for_each_key(const std::function<void(runtime::EventKey)>& f) const {
    for_each_part(
        [&](const runtime::TaskHandle& part) { f(runtime::task_key(part.task().index)); });
}

bool Future<void>::cancel() const {
    bool any = false;
    for_each_part([&](const runtime::TaskHandle& part) { any = part.cancel() || any; });
    return any;
}

int Future<void>::where() const { return parts_ ? myid() : handle_.where(); }

} // namespace dshm
