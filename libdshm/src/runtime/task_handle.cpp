#include "dshm/runtime/task_handle.hpp"

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/task_wait.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm::runtime {

TaskHandle TaskHandle::make_open(WorkerId owner) {
    Process& process = current();
    return TaskHandle(send_open(process, member_of(process, owner)));
}

TaskHandle::TaskHandle(const TaskHandle& other) : task_(other.task_) {
    if (auto* scope = ship::ShippingScope::current_sending()) {
        task_ = shippable(other.process(), other.task_);
        scope->add(handle_of(task_), this, sizeof *this);
        return;
    }
    const bool arriving = ship::ShippingScope::current_receiving() != nullptr;
    if (!arriving && other.session_ == 0)
        return;
    if (!arriving)
        other.process().holdings().add(task_);
    else if (!current().holdings().acquire(task_))
        throw std::runtime_error(
            "dshm: a Future that was sent here is gone: every process that held it has ended");
    session_ = current_session();
}

TaskHandle::~TaskHandle() {
    Process* process = current_or_null();
    if (session_ != 0 && process != nullptr && session_ == current_session())
        process->holdings().drop(task_);
}

Process& TaskHandle::process() const {
    if (session_ == 0)
        throw std::logic_error("dshm: this Future has been moved from");
    if (session_ != current_session())
        throw std::logic_error("dshm: this Future belongs to a session that has ended");
    return current();
}

int TaskHandle::where() const {
    Process& process = this->process();
    const TaskState state = process.tasks().state(task_);
    if (state.generation != task_.generation)
        return process.id(); // its result has moved here
    const auto word = process.tasks().record(task_).control.load(std::memory_order_acquire);
    if (const auto target = control::Target::get(word); target != 0)
        return static_cast<int>(target);
    return state.owner == shm::Owner{} ? process.id()
                                       : process.processes().life(state.owner.slot).id;
}

void TaskHandle::wait() const { wait_for_task(process(), task_); }

bool TaskHandle::wait_until(os::Clock::time_point deadline) const {
    return wait_for_task(process(), task_, deadline);
}

void TaskHandle::throw_if_failed() const {
    read([](const ResultView&) {});
}

bool TaskHandle::cancel() const {
    Process& process = this->process();
    TaskTable& tasks = process.tasks();
    if (tasks.claim_queued(task_) || tasks.claim_open(task_)) {
        fail_task(process, task_,
                  std::make_exception_ptr(InterruptException("dshm: cancelled before it began")));
        return true;
    }
    if (tasks.ended(task_))
        return false;
    tasks.record(task_).control.fetch_or(control::cancelled, std::memory_order_seq_cst);
    if (tasks.claim_queued(task_)) { // its worker has died, and it was to begin anew
        fail_task(process, task_,
                  std::make_exception_ptr(InterruptException("dshm: cancelled after its worker had "
                                                             "ended")));
        return true;
    }
    const TaskState now = tasks.state(task_);
    if (now.generation == task_.generation && now.phase == TaskPhase::running)
        process.scheduler().wake_with(now.owner.slot, task_key(task_.index)); // if it waits
    return true;
}

void claim_for_put(const TaskHandle& handle) {
    if (!handle.process().tasks().claim_open(handle.task()))
        throw std::logic_error(
            "dshm: a Future can be put only once, and never if it belongs to a task");
}

} // namespace dshm::runtime
