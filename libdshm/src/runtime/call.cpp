#include "dshm/runtime/call.hpp"

#include <chrono>
#include <cstring>
#include <stdexcept>

#include "dshm/base/scope_guard.hpp"

#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/task_stream.hpp"

namespace dshm::runtime {

namespace {

// A record that this process could reserve. Results that are held, here or elsewhere, leave the
// table for it.
class TableRoom final : public WaitFor {
public:
    explicit TableRoom(Process& process) : process_(&process) {}
    ~TableRoom() {
        process_->tasks().waiting_for_room().clear(process_->me().slot, std::memory_order_seq_cst);
    }

    bool ready() override {
        if (!task_)
            task_ = process_->tasks().reserve();
        return task_.has_value();
    }
    void about_to_sleep() override {
        process_->tasks().waiting_for_room().set(process_->me().slot, std::memory_order_seq_cst);
        if (asked_)
            return;
        asked_ = true;
        process_->holdings().ask_to_be_rung();
        process_->processes().ring_everybody(); // so that they make room; once
    }
    TaskRef task() const { return *task_; }

private:
    Process* process_;
    std::optional<TaskRef> task_;
    bool asked_ = false;
};

TaskRef reserve(Process& process, os::Clock::time_point deadline = os::Clock::time_point::max()) {
    process.require_member("a call, loop or Future");
    if (auto task = process.tasks().reserve()) [[likely]]
        return *task;
    process.holdings().make_room();
    TableRoom room(process);
    if (!process.scheduler().wait_until(room, deadline))
        throw std::runtime_error(
            "dshm: the table of tasks is full: 65536 futures are waiting to be put");
    return room.task();
}

// Open futures end when somebody puts them, which the one who makes another may be about to do: so
// that wait has an end.
constexpr auto patience_for_open = std::chrono::seconds(1);

} // namespace

OutgoingTask::OutgoingTask(Process& process, const std::optional<Membership::Member>& target,
                           bool held)
    : process_(&process), target_(target), held_(held), task_(reserve(process)) {
    TaskRecord& record = process.tasks().record(task_);
    record.form = PayloadForm::inline_bytes;
    record.result = ResultForm::none;
    record.handles = 0;
    const std::uint64_t word =
        control::Origin::put(process.me().bits()) |
        control::Target::put(target ? static_cast<std::uint64_t>(target->id) : 0) |
        (held ? control::held : 0);
    // relaxed: published with the task (edge `task-queued`).
    record.control.store(word, std::memory_order_relaxed);
}

OutgoingTask::~OutgoingTask() {
    if (!sent_)
        process_->tasks().abandon(task_);
}

void OutgoingTask::give_back(const PoolPlace& worker) {
    if (worker.pool == 0)
        return;
    TaskRecord& record = process_->tasks().record(task_);
    record.pool = worker.pool;
    record.taken = worker.taken;
    // relaxed: published with the task (edge `task-queued`).
    record.control.fetch_or(control::pooled, std::memory_order_relaxed);
}

// Two plain steps, because nobody else knows the record yet.
void OutgoingTask::allow_repeats() {
    shm::Word64& word = process_->tasks().record(task_).control;
    // relaxed: published with the task (edge `task-queued`).
    word.store(word.load(std::memory_order_relaxed) | control::repeatable,
               std::memory_order_relaxed);
}

void OutgoingTask::fail_silently() {
    // relaxed: published with the task (edge `task-queued`).
    process_->tasks().record(task_).control.fetch_or(control::observed, std::memory_order_relaxed);
}

std::byte* OutgoingTask::begin(std::uint64_t function, const ship::Footprint& need) {
    process_->tasks().record(task_).function = function;
    room_.emplace(process_->tasks(), task_, shm::Tag::argument(task_.index, task_.generation),
                  need);
    return room_->data();
}

// Its worker has died since it was chosen.
bool OutgoingTask::turn_to_successor() {
    shm::Word64& word = process_->tasks().record(task_).control;
    // relaxed, here and below: nobody else knows the record yet.
    const std::uint64_t now = word.load(std::memory_order_relaxed);
    const auto next = process_->processes().successor_of(target_->id);
    if (!next || (now & control::repeatable) == 0)
        return false;
    target_ = next;
    word.store((now & ~control::Target::mask) |
                   control::Target::put(static_cast<std::uint64_t>(next->id)),
               std::memory_order_relaxed);
    return true;
}

TaskRef OutgoingTask::send(std::size_t written, const ship::HandleList& handles) {
    room_->close(written, handles);
    if (target_ && !process_->processes().alive(target_->owner) && !turn_to_successor())
        std::rethrow_exception(missing_worker(process_->processes(), target_->id));
    stream_of(process_->tasks().record(task_)) = next_stream(); // only what is sent counts
    if (!handles.empty())
        process_->holdings().pin(task_, handles.view(), Holdings::PinUntil::ended);
    process_->counters().add(Count::spawned);
    if (!target_ || target_->owner != process_->me())
        process_->counters().add(Count::bytes_sent, process_->tasks().record(task_).size);
    if (held_)
        process_->holdings().adopt(task_);
    sent_ = true;
    process_->tasks().publish(task_);
    if (target_)
        process_->scheduler().send_to(*target_, task_);
    else
        process_->scheduler().offer(task_);
    return task_;
}

// The order is given before the commit, so a call that never comes leaves a gap and nothing else.
TaskRef OutgoingTask::keep(std::size_t written, const ship::HandleList& handles) {
    room_->close(written, handles);
    process_->holdings().pin(task_, handles.view(), Holdings::PinUntil::ended);
    process_->counters().add(Count::bytes_sent, process_->tasks().record(task_).size);
    const std::uint64_t order =
        process_->header().kept_calls.fetch_add(1, std::memory_order_acq_rel) + 1;
    // relaxed: published with the record.
    process_->tasks().record(task_).shares.store(order, std::memory_order_relaxed);
    sent_ = true;
    process_->tasks().publish_kept(task_);
    return task_;
}

TaskRef send_open(Process& process, const Membership::Member& owner) {
    const TaskRef task = reserve(process, os::Clock::now() + patience_for_open);
    TaskRecord& record = process.tasks().record(task);
    record.form = PayloadForm::inline_bytes;
    record.size = 0;
    record.handles = 0;
    record.function = 0;
    // relaxed: published with the record (edge `task-queued`).
    record.control.store(control::Origin::put(process.me().bits()) | control::held |
                             control::Target::put(static_cast<std::uint64_t>(owner.id)),
                         std::memory_order_relaxed);
    process.holdings().adopt(task);
    process.tasks().publish_open(task);
    // An owner that died before this was there has been swept already.
    if (!process.processes().alive(owner.owner) && process.tasks().claim_open(task))
        fail_task(process, task, missing_worker(process.processes(), owner.id));
    return task;
}

namespace {

// Puts a result that has left the table into a record of its own, as finished as it was.
TaskRef put_back(Process& process, const Holdings::Copy& result) {
    TaskTable& tasks = process.tasks();
    auto task = tasks.reserve();
    if (!task && process.holdings().make_room() != 0)
        task = tasks.reserve();
    if (!task)
        throw std::runtime_error("dshm: the table of tasks is full: a Future cannot be sent now");
    base::ScopeGuard undo([&] {
        drop_payload(tasks, *task);
        tasks.abandon(*task);
    });
    TaskRecord& record = tasks.record(*task);
    record.form = PayloadForm::inline_bytes;
    record.function = 0;
    record.result = result.form;
    // relaxed: published with the record (edge `task-done`).
    record.control.store(control::Origin::put(process.me().bits()) | control::held |
                             control::shared,
                         std::memory_order_relaxed);
    PayloadRoom room(tasks, *task, shm::Tag::result(task->index, task->generation),
                     {result.bytes.size(), ship::block_alignment});
    std::memcpy(room.data(), result.bytes.data(), result.bytes.size());
    ship::HandleList handles;
    for (const ship::HandleRef& handle : result.handles)
        handles.add(handle);
    room.close(result.bytes.size(), handles);
    process.holdings().pin(*task, handles.view(), Holdings::PinUntil::freed);
    undo.dismiss();
    process.holdings().adopt(*task);
    tasks.publish_finished(*task, result.phase);
    return *task;
}

} // namespace

TaskRef shippable(Process& process, TaskRef task) {
    Holdings& holdings = process.holdings();
    const auto moved = holdings.moved_copy(task);
    if (!moved) {
        process.tasks().allow_shares(task);
        return task;
    }
    if (const auto known = holdings.republished(task))
        return shippable(process, *known); // which may have left the table again
    const TaskRef record = put_back(process, *moved);
    if (holdings.note_republished(task, record))
        return record;
    holdings.drop(record); // another thread was faster
    return holdings.republished(task).value();
}

std::uint64_t function_of(const Operation& operation, std::atomic<std::uint64_t>& session,
                          std::atomic<std::uint64_t>& cached) {
    const std::uint64_t now = current_session();
    // acquire: the cached identity was stored before the session's number.
    if (session.load(std::memory_order_acquire) == now)
        return cached.load(std::memory_order_relaxed); // relaxed: ordered by the load above
    const std::uint64_t bits = ship::function_id_of(&operation).bits;
    cached.store(bits, std::memory_order_relaxed); // relaxed: published by the next store
    session.store(now, std::memory_order_release);
    return bits;
}

namespace {

class SomebodyWorks final : public WaitFor {
public:
    explicit SomebodyWorks(Process& process) : process_(&process) {}
    bool ready() override {
        return process_->worker_count() != 0 || !process_->processes().somebody_comes();
    }
    bool interruptible() const override { return true; }

private:
    Process* process_;
};

} // namespace

std::vector<Membership::Member> workers_of_the_moment(Process& process) {
    SomebodyWorks somebody(process);
    process.scheduler().wait(somebody);
    std::vector<Membership::Member> found = process.members();
    if (found.size() > 1)
        found.erase(found.begin()); // the master
    return found;
}

Membership::Member member_of(Process& process, int worker) {
    if (worker == process.id())
        return {worker, process.me()};
    if (const auto member = process.find_member(worker))
        return *member;
    // One that comes in the place of another may be sent to before it takes tasks.
    if (process.restarts_workers())
        if (const auto slot = process.processes().slot_of(worker)) {
            const Life life = process.processes().life(*slot);
            if (life.id == worker && life.phase == LifePhase::starting)
                return {worker, {static_cast<std::uint8_t>(*slot), life.incarnation}};
        }
    std::rethrow_exception(missing_worker(process.processes(), worker));
}

} // namespace dshm::runtime
