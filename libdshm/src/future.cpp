#include "dshm/future.hpp"

#include "dshm/errors.hpp"

namespace dshm {

namespace detail {

using runtime::TaskRef;

TaskHandle TaskHandle::make_open() { return TaskHandle(runtime::send_open(runtime::current())); }

TaskHandle::TaskHandle(const TaskHandle& other) : task_(other.task_), session_(other.session_) {
    if (session_ != 0)
        process().holdings().add(task_);
}

TaskHandle::~TaskHandle() {
    runtime::Process* process = runtime::current_or_null();
    if (session_ != 0 && process != nullptr && session_ == runtime::current_session())
        process->holdings().drop(task_);
}

runtime::Process& TaskHandle::process() const {
    if (session_ == 0)
        throw std::logic_error("dshm: this Future has been moved from");
    if (session_ != runtime::current_session())
        throw std::logic_error("dshm: this Future belongs to a session that has ended");
    return runtime::current();
}

int TaskHandle::where() const {
    runtime::Process& process = this->process();
    using namespace runtime;
    const auto word = process.tasks().record(task_).control.load(std::memory_order_acquire);
    const auto state = process.tasks().state(task_);
    if (state.generation != task_.generation)
        return process.id(); // its result has moved here
    if (const auto target = control::Target::get(word); target != 0)
        return static_cast<int>(target);
    return state.owner == shm::Owner{} ? process.id()
                                       : process.processes().life(state.owner.slot).id;
}

void throw_if_failed(const TaskHandle& handle) {
    handle.process().holdings().read(handle.task(), [](const runtime::ResultView& result) {
        if (result.phase == runtime::TaskPhase::failed)
            std::rethrow_exception(runtime::failure_of(result));
    });
}

} // namespace detail

Future<void>::Future(int owner) : handle_(detail::TaskHandle::make_open()), owner_(owner) {}

Future<void> Future<void>::of_task(runtime::TaskRef task) {
    return Future(detail::TaskHandle::adopt(task), 0);
}

template <class F>
void Future<void>::for_each_part(F&& f) const {
    if (!parts_)
        return f(handle_);
    for (const detail::TaskHandle& part : *parts_)
        f(part);
}

Future<void> Future<void>::join(const std::vector<Future>& futures) {
    std::vector<detail::TaskHandle> parts;
    for (const Future& future : futures)
        future.for_each_part([&](const detail::TaskHandle& part) { parts.push_back(part); });
    Future joined(detail::TaskHandle(), myid());
    joined.parts_ = std::make_shared<const std::vector<detail::TaskHandle>>(std::move(parts));
    return joined;
}

void Future<void>::put() const {
    if (parts_)
        throw std::logic_error("dshm: a loop's Future cannot be put");
    detail::put_result(handle_, ship::Unit{});
}

void Future<void>::fetch() const {
    wait();
    throw_if_failed();
}

void Future<void>::throw_if_failed() const {
    std::vector<std::exception_ptr> failures;
    for_each_part([&](const detail::TaskHandle& part) {
        try {
            detail::throw_if_failed(part);
        } catch (...) {
            failures.push_back(std::current_exception());
        }
    });
    if (failures.size() == 1)
        std::rethrow_exception(failures[0]);
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

void Future<void>::wait() const { wait_until(os::Clock::time_point::max()); }

bool Future<void>::wait_until(os::Clock::time_point deadline) const {
    bool all = true;
    for_each_part([&](const detail::TaskHandle& part) {
        all = all && runtime::wait_for_task(part.process(), part.task(), deadline);
    });
    return all;
}

bool Future<void>::isready() const {
    bool all = true;
    for_each_part([&](const detail::TaskHandle& part) {
        all = all && part.process().tasks().ended(part.task());
    });
    return all;
}

int Future<void>::where() const { return owner_ != 0 ? owner_ : handle_.where(); }

} // namespace dshm
