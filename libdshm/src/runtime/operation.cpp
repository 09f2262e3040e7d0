#include "dshm/runtime/operation.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <string_view>

#include "dshm/os/memory_map.hpp"
#include "dshm/runtime/failure.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/scheduler.hpp"
#include "dshm/runtime/worker_pool.hpp"
#include "dshm/ship/function_id.hpp"
#include "dshm/ship/throw_recorder.hpp"

namespace dshm::runtime {

Execution::Execution(Process& process, TaskRef task, Result result)
    : process_(&process), tasks_(&process.tasks()), task_(task), result_(result) {}

void Execution::pin_handles() {
    process_->holdings().pin(task_, handles_.view(), Holdings::PinUntil::freed);
}

// The room for the result is found before the arguments go, so that a full segment leaves them to
// the error message's writer.
PayloadRoom Execution::begin_result(const ship::Footprint& need) {
    TaskRecord& record = tasks_->record(task_);
    give_up_arguments(record);
    const bool had_block = record.form == PayloadForm::block;
    const shm::Offset arguments = had_block ? tasks_->block_of(record) : 0;
    PayloadRoom room(*tasks_, task_, shm::Tag::result(task_.index, task_.generation), need);
    if (had_block)
        tasks_->heap().free(arguments, shm::Tag::argument(task_.index, task_.generation));
    return room;
}

namespace {

// The word may come from a process that went mad: what lies there is an operation only if it has a name
// that can be read and printed.
bool is_operation(const void* address) {
    constexpr std::size_t longest_name = 1 << 16;
    if (reinterpret_cast<std::uintptr_t>(address) % alignof(Operation) != 0)
        return false;
    alignas(Operation) std::byte bytes[sizeof(Operation)];
    if (!os::copy_if_readable(bytes, address, sizeof bytes))
        return false;
    const std::string_view name = reinterpret_cast<const Operation*>(bytes)->name;
    if (name.empty() || name.size() > longest_name)
        return false;
    std::string text(name.size(), '\0');
    return os::copy_if_readable(text.data(), name.data(), text.size()) &&
           std::none_of(text.begin(), text.end(),
                        [](unsigned char c) { return c < ' ' || c == 0x7f; });
}

} // namespace

const Operation* find_operation(std::uint64_t function) noexcept {
    try {
        const void* const address = ship::loaded_function_address({function});
        return is_operation(address) ? static_cast<const Operation*>(address) : nullptr;
    } catch (...) {
        return nullptr;
    }
}

namespace {

// Publishes the end of a task and does what follows from it.
void conclude(Process& process, TaskRef task, TaskPhase phase) {
    TaskTable& tasks = process.tasks();
    const TaskRecord& record = tasks.record(task);
    // relaxed: neither origin nor pool change while we run the task.
    const std::uint64_t before = record.control.load(std::memory_order_relaxed);
    const auto origin = shm::Owner::from_bits(control::Origin::get(before));
    if ((before & control::pooled) != 0) [[unlikely]]
        give_back_worker(process, task); // whoever sees the end sees it free
    process.counters().add(phase == TaskPhase::done ? Count::done : Count::failed);
    if (origin != process.me())
        process.counters().add(Count::bytes_returned, record.size);
    const std::uint64_t word = tasks.finish(task, phase);
    if ((word & (control::origin_waits | control::shared)) != 0)
        process.scheduler().ring_waiters(task, word);
    if ((word & control::held) != 0 || !tasks.unheld(task) || !tasks.claim_finished(task))
        return;
    // Observed before the end: given up by the last who held it.
    if (phase == TaskPhase::failed && (word & control::observed) == 0)
        report_failure({phase, record.result, payload_bytes(tasks, record)});
    tasks.free_claimed(task);
}

// The thread may not go on, and cannot end: the session's loop is below.
[[noreturn]] void end_over_foreign_exception() {
    std::fputs("dshm: a task ends the thread that runs tasks (pthread_exit or pthread_cancel), or "
               "throws what is "
               "no exception of C++; this process ends. Call exit, or end only threads that the "
               "task has started\n",
               stderr);
    std::abort();
}

} // namespace

void run_task(Process& process, TaskRef task) noexcept {
    TaskRecord& record = process.tasks().record(task);
    // relaxed: read by the launcher after our death and by tools.
    process.area().current_function.store(record.function, std::memory_order_relaxed);
    Execution execution(process, task);
    TaskPhase phase = TaskPhase::done;
    const ship::ThrowRecorder::Scope stack_of_throws;
    try {
        const auto* operation =
            static_cast<const Operation*>(ship::function_address({record.function}));
        note_task_start(operation->name);
        operation->run(execution);
    } catch (...) {
        const std::exception_ptr error = std::current_exception();
        if (error == nullptr)
            end_over_foreign_exception();
        write_failure(process.tasks(), task, error, process.id());
        phase = TaskPhase::failed;
    }
    try {
        process.show_output();
    } catch (...) {
        // A stream that throws on a failed flush: the task's result is not its output's.
    }
    process.area().current_function.store(0, std::memory_order_relaxed);
    conclude(process, task, phase);
}

void complete_task(Process& process, TaskRef task, const std::function<void(Execution&)>& write) {
    Execution execution(process, task);
    try {
        write(execution);
    } catch (...) {
        drop_payload(process.tasks(), task);
        process.tasks().publish_open(task);
        throw;
    }
    conclude(process, task, TaskPhase::done);
}

void fail_task(Process& process, TaskRef task, std::exception_ptr error) noexcept {
    write_failure(process.tasks(), task, error, process.id());
    conclude(process, task, TaskPhase::failed);
}

void fail_missing(Process& process, TaskRef task, WorkerId worker) noexcept {
    const Obituary& obituary = process.processes().obituary(worker);
    // acquire, edge `obituary`: the key is stored last.
    if (obituary.key.load(std::memory_order_acquire) != static_cast<std::uint64_t>(worker))
        return fail_task(process, task, missing_worker(process.processes(), worker)); // just ending
    write_exit(process.tasks(), task,
               {worker, obituary.wait_status, obituary.os_pid, ExitMoment::before,
                process.tasks().record(task).function, 0});
    conclude(process, task, TaskPhase::failed);
}

} // namespace dshm::runtime
