#include "dshm/runtime/failure.hpp"

#include <sys/wait.h>

#include <cstdio>
#include <cstring>
#include <stdexcept>

#include "dshm/os/process.hpp"
#include "dshm/runtime/last_words.hpp"
#include "dshm/runtime/operation.hpp"
#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/ship/exception_record.hpp"

namespace dshm::runtime {

namespace {

void write_record(TaskTable& tasks, TaskRef task, const ship::ExceptionRecord& error) {
    const ship::Footprint need = ship::footprint(error);
    PayloadRoom room(tasks, task, shm::Tag::result(task.index, task.generation), need);
    ship::Writer writer(room.data(), need.size);
    ship::encode(writer, error);
    room.close(writer.written(), {});
}

// Type and the beginning of the message: fits into a record, so it needs no memory of the segment.
ship::ExceptionRecord shortened(const ship::ExceptionRecord& full) {
    ship::ExceptionRecord brief;
    brief.kind = full.kind;
    brief.message = full.message.substr(0, 32);
    brief.hops = full.hops;
    brief.hops.resize(std::min<std::size_t>(brief.hops.size(), 1));
    return brief;
}

std::string describe_exit(const Obituary& obituary) {
    const int status = obituary.wait_status;
    const bool clean = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (obituary.asked_to_exit != 0 && clean)
        return "it was removed by rmprocs";
    const Operation* operation =
        obituary.function == 0 ? nullptr : find_operation(obituary.function);
    return "it ended: " + os::describe_wait_status(status) +
           (operation == nullptr ? "" : " while running " + std::string(operation->name));
}

std::string last_words_here(WorkerId worker) {
    Process* process = current_or_null();
    return process == nullptr ? std::string() : last_words_of(process->processes(), worker);
}

} // namespace

void write_failure(TaskTable& tasks, TaskRef task, std::exception_ptr error,
                   WorkerId worker) noexcept {
    drop_payload(tasks, task);
    tasks.record(task).result = ResultForm::exception;
    ship::ExceptionRecord record;
    try {
        record = ship::capture(error, worker);
        write_record(tasks, task, record);
    } catch (...) {
        drop_payload(tasks, task);
        try {
            write_record(tasks, task, shortened(record));
        } catch (...) {
            drop_payload(tasks, task); // an empty result: read as "failed, details lost"
        }
    }
}

void write_exit(TaskTable& tasks, TaskRef task, const ExitNote& note) noexcept {
    drop_payload(tasks, task);
    TaskRecord& record = tasks.record(task);
    record.result = ResultForm::exited;
    record.size = sizeof note;
    std::memcpy(record.payload.data(), &note, sizeof note);
}

namespace {

std::exception_ptr exit_exception(std::span<const std::byte> bytes) {
    ExitNote note{};
    std::memcpy(&note, bytes.data(), std::min(bytes.size(), sizeof note));
    std::string reason = os::describe_wait_status(note.wait_status);
    if (note.moment == ExitMoment::owning) {
        reason += " before anybody had put a future that it owned";
    } else {
        const Operation* operation = find_operation(note.function);
        const std::string task = operation == nullptr ? "a task" : std::string(operation->name);
        reason +=
            (note.moment == ExitMoment::during ? " while running " : " before it ran ") + task;
        if (note.attempts > 1)
            reason += ", the last of " + std::to_string(note.attempts) + " workers that it ended";
    }
    return std::make_exception_ptr(
        ProcessExitedException(note.worker, reason, last_words_here(note.worker)));
}

} // namespace

std::exception_ptr as_remote(std::exception_ptr error, WorkerId worker) {
    return ship::rebuild(ship::capture(std::move(error), worker));
}

std::exception_ptr failure_of(const ResultView& result) {
    if (result.form == ResultForm::exited)
        return exit_exception(result.bytes);
    if (result.bytes.empty())
        return std::make_exception_ptr(
            std::runtime_error("a task failed; its exception could not be recorded, because shared "
                               "memory is exhausted"));
    try {
        ship::Reader reader(result.bytes.data(), result.bytes.size());
        return ship::rebuild(ship::decode<ship::ExceptionRecord>(reader));
    } catch (...) {
        return std::current_exception();
    }
}

void report_failure(const ResultView& result) {
    try {
        std::rethrow_exception(failure_of(result));
    } catch (const ProcessExitedException& error) { // the rest has been said
        std::fprintf(stderr, "dshm: a task that nobody waited for failed: process %d exited: %s\n",
                     error.pid(), error.reason().c_str());
    } catch (const std::exception& error) {
        std::fprintf(stderr, "dshm: a task that nobody waited for failed: %s\n", error.what());
    } catch (...) {
        std::fprintf(stderr, "dshm: a task that nobody waited for failed\n");
    }
}

std::string exit_reason(const Obituary& obituary) { return describe_exit(obituary); }

std::exception_ptr missing_worker(const ProcessTable& processes, WorkerId id) {
    const Obituary& obituary = processes.obituary(id < 0 ? 0 : id);
    // acquire, edge `obituary`: the key is stored last.
    if (id > 1 && obituary.key.load(std::memory_order_acquire) == static_cast<std::uint64_t>(id))
        return std::make_exception_ptr(
            ProcessExitedException(id, exit_reason(obituary), last_words_of(processes, id)));
    if (id > 1 && processes.slot_of(id))
        return std::make_exception_ptr(ProcessExitedException(id, "it is ending"));
    return std::make_exception_ptr(std::invalid_argument(
        "dshm: there is no worker " + std::to_string(id) + "; procs() lists those there are"));
}

} // namespace dshm::runtime
