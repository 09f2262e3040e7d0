// From a callable and arguments to a task that is ready to be sent.
//
// Two passes over the values: one counts, one writes straight into the record or a heap block.
// Nothing is sent until all is written, so a copy constructor or serialise function that throws
// leaves nothing behind.
#pragma once

#include <atomic>
#include <optional>
#include <vector>

#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/ship/function_id.hpp"

namespace dshm::runtime {

// A reserved record with its payload under construction; gives everything back unless it was sent.
class OutgoingTask {
public:
    // Waits while the table is full. `target` is empty for a task that anyone may run.
    OutgoingTask(Process& process, const std::optional<Membership::Member>& target, bool held);
    ~OutgoingTask();
    OutgoingTask(const OutgoingTask&) = delete;
    OutgoingTask& operator=(const OutgoingTask&) = delete;

    // Whoever ends it gives that worker of a pool back.
    void give_back(const PoolPlace& worker);
    // It may be begun anew after a death (on_worker_death.hpp): nobody else makes up for that.
    void allow_repeats();
    // Whoever ends it badly says nothing, though nobody may ever ask how it ended.
    void fail_silently();
    // Not sent yet.
    TaskRef task() const { return task_; }
    // Room for the payload of a call to `function`.
    std::byte* begin(std::uint64_t function, const ship::Footprint& need);
    // Publishes the task and puts it where it will be found. Throws ProcessExitedException, with
    // nothing sent, if the target has ended.
    TaskRef send(std::size_t written, const ship::HandleList& handles);
    // Keeps it for whoever makes it later, instead of sending it.
    TaskRef keep(std::size_t written, const ship::HandleList& handles);

private:
    bool turn_to_successor();

    Process* process_;
    std::optional<Membership::Member> target_;
    bool held_;
    TaskRef task_;
    std::optional<PayloadRoom> room_;
    bool sent_ = false;
};

// A static object's function identity, looked up once in each session.
std::uint64_t function_of(const Operation& operation, std::atomic<std::uint64_t>& session,
                          std::atomic<std::uint64_t>& cached);

template <class F, class... Args>
std::uint64_t function_for_call() {
    static constinit std::atomic<std::uint64_t> session{0};
    static constinit std::atomic<std::uint64_t> cached{0};
    return function_of(operation_of<F, Args...>, session, cached);
}

// Writes f(args...) into `task` and lists the handles in it; gives the bytes written.
template <class F, class... Args>
std::size_t write_call(OutgoingTask& task, ship::HandleList& handles, const F& function,
                       const Args&... args) {
    ship::Sizer sizer;
    ship::write_closure(sizer, function);
    ship::encode(sizer, args...);
    const ship::Footprint need = sizer.footprint();
    ship::Writer writer(task.begin(function_for_call<F, ship::WireType<Args>...>(), need),
                        need.size);
    writer.list_handles(&handles);
    ship::write_closure(writer, function);
    ship::encode(writer, args...);
    return writer.written();
}

// send_call with a task that gives a pool's worker back when it ends, however it ends.
template <class F, class... Args>
TaskRef send_pooled_call(Process& process, const Membership::Member& target, const PoolPlace& place,
                         const F& function, const Args&... args) {
    OutgoingTask task(process, target, true);
    task.allow_repeats();
    task.give_back(place);
    ship::HandleList handles;
    const std::size_t written = write_call(task, handles, function, args...);
    return task.send(written, handles);
}

// Sends f(args...) as a task; `held` says whether the caller will keep a future of it.
template <class F, class... Args>
TaskRef send_call(Process& process, const std::optional<Membership::Member>& target, bool held,
                  const F& function, const Args&... args) {
    OutgoingTask task(process, target, held);
    task.allow_repeats();
    ship::HandleList handles;
    const std::size_t written = write_call(task, handles, function, args...);
    return task.send(written, handles);
}

// The same for a caller that deals with its worker's death itself.
template <class F, class... Args>
TaskRef send_call_once(Process& process, const Membership::Member& target, const F& function,
                       const Args&... args) {
    OutgoingTask task(process, target, true);
    ship::HandleList handles;
    const std::size_t written = write_call(task, handles, function, args...);
    return task.send(written, handles);
}

// Keeps f(args...) as a call that every worker which is started later makes first (replays.hpp).
template <class F, class... Args>
TaskRef keep_call(Process& process, const F& function, const Args&... args) {
    OutgoingTask task(process, std::nullopt, false);
    ship::HandleList handles;
    const std::size_t written = write_call(task, handles, function, args...);
    return task.keep(written, handles);
}

// A record that no task will end, but a put; the caller holds its first handle. It fails when its
// owner's process ends before that.
TaskRef send_open(Process& process, const Membership::Member& owner);

// The record under which a task that is held here can be sent to others: the task's own, or a new
// one if its result has left the table. Throws std::runtime_error when the table is full. Never
// waits.
TaskRef shippable(Process& process, TaskRef task);

// The workers of the moment; this process if there are none. Waits while the only ones there are come
// in the place of dead ones: what has ended those must not come to the master.
std::vector<Membership::Member> workers_of_the_moment(Process& process);

// The member with this id. Throws ProcessExitedException for one that has ended,
// std::invalid_argument for one that has never been.
Membership::Member member_of(Process& process, int worker);

} // namespace dshm::runtime
