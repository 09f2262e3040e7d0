#include "dshm/future.hpp"

#include "dshm/errors.hpp"

namespace dshm {

namespace detail {

using runtime::TaskRef;

TaskHandle TaskHandle::make_open() {
    return TaskHandle(runtime::send_open(runtime::current()));
}

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
    shm::Owner owner = shm::Owner::from_bits(control::Target::get(word));
    if (owner == shm::Owner{})
        owner = state.owner;
    if (state.generation != task_.generation || owner == shm::Owner{})
        return process.id();
    return process.processes().life(owner.slot).id;
}

void throw_if_failed(const TaskHandle& handle) {
    handle.process().holdings().read(handle.task(), [](const runtime::ResultView& result) {
        if (result.phase == runtime::TaskPhase::failed)
            std::rethrow_exception(runtime::failure_of(result));
    });
}

} // namespace detail

Future<void>::Future(int owner) : owner_(owner) { parts_.push_back(detail::TaskHandle::make_open()); }

Future<void> Future<void>::of_task(runtime::TaskRef task) {
    std::vector<detail::TaskHandle> parts;
    parts.push_back(detail::TaskHandle::adopt(task));
    return Future(std::move(parts), 0);
}

Future<void> Future<void>::join(const std::vector<Future>& futures) {
    std::vector<detail::TaskHandle> parts;
    for (const Future& future : futures)
        parts.insert(parts.end(), future.parts_.begin(), future.parts_.end());
    return Future(std::move(parts), myid());
}

void Future<void>::put() const {
    if (parts_.size() != 1)
        throw std::logic_error("dshm: a loop's Future cannot be put");
    detail::put_result(parts_[0], ship::Unit{});
}

void Future<void>::fetch() const {
    wait();
    throw_if_failed();
}

void Future<void>::throw_if_failed() const {
    std::vector<std::exception_ptr> failures;
    for (const detail::TaskHandle& part : parts_)
        try {
            detail::throw_if_failed(part);
        } catch (...) {
            failures.push_back(std::current_exception());
        }
    if (failures.size() == 1)
        std::rethrow_exception(failures[0]);
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

void Future<void>::wait() const { wait_until(os::Clock::time_point::max()); }

bool Future<void>::wait_until(os::Clock::time_point deadline) const {
    for (const detail::TaskHandle& part : parts_)
        if (!runtime::wait_for_task(part.process(), part.task(), deadline))
            return false;
    return true;
}

bool Future<void>::isready() const {
    for (const detail::TaskHandle& part : parts_)
        if (!part.process().tasks().ended(part.task()))
            return false;
    return true;
}

int Future<void>::where() const {
    return owner_ != 0 || parts_.empty() ? owner_ : parts_[0].where();
}

} // namespace dshm
