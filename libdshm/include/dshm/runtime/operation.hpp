// What a task does, as its record names it, and the execution of one.
//
// An Operation is one static object for each combination of callable and argument types; its
// address, sent as {module, offset}, is the task's function. It reads closure and arguments from
// the payload, calls, and writes the result in their place: nothing of the caller's process is
// needed.
#pragma once

#include <exception>
#include <functional>
#include <string_view>
#include <type_traits>
#include <typeinfo>
#include <utility>

#include "dshm/runtime/payload.hpp"
#include "dshm/runtime/process_table.hpp"
#include "dshm/ship/closure.hpp"
#include "dshm/ship/codec.hpp"
#include "dshm/ship/parameters.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm::runtime {

class Process;

// A task that is being run by this process. Gives its arguments, takes its result.
class Execution {
public:
    // Of a kept call, which is made again and again, the result goes nowhere.
    enum class Result { kept, dropped };
    Execution(Process& process, TaskRef task, Result result = Result::kept);

    // The bytes that the caller wrote: closure, then arguments. They stay where they are until the
    // result is written.
    ship::Reader arguments() const {
        const std::span<const std::byte> bytes = payload_bytes(*tasks_, tasks_->record(task_));
        return {bytes.data(), bytes.size()};
    }

    TaskRef task() const { return task_; }

    // Writes the result in place of the arguments. Throws what encoding throws, and
    // SharedMemoryExhausted.
    template <class R>
    void give(const R& value) {
        if (result_ == Result::dropped) [[unlikely]]
            return;
        const ship::Footprint need = ship::footprint(value);
        PayloadRoom room = begin_result(need);
        ship::Writer writer(room.data(), need.size);
        writer.list_handles(&handles_);
        ship::encode(writer, value);
        room.close(writer.written(), handles_);
        if (!handles_.empty())
            pin_handles(); // before the value goes, and with it perhaps their only holder
    }
    void give_nothing() {
        if (result_ == Result::dropped) [[unlikely]]
            return;
        TaskRecord& record = tasks_->record(task_);
        give_up_arguments(record);
        if (record.form == PayloadForm::block) {
            begin_result({}).close(0, handles_);
            return;
        }
        record.size = 0;
        record.handles = 0;
    }

private:
    PayloadRoom begin_result(const ship::Footprint& need);
    void pin_handles();

    Process* process_;
    TaskTable* tasks_;
    TaskRef task_;
    Result result_;
    ship::HandleList handles_;
};

struct Operation {
    void (*run)(Execution&);
    std::string_view name; // the callable's type, as the compiler spells it
};

namespace detail {

template <class F>
constexpr std::string_view type_name() {
    const std::string_view text =
        __PRETTY_FUNCTION__; // "... [with F = NAME; ...]" or "... [F = NAME]"
    const std::size_t start = text.find("F = ") + 4;
    return text.substr(start, text.find_first_of(";]", start) - start);
}

// The same in all programs and compilers of the platform, which a spelling is not.
template <class T>
std::string_view type_key() {
    return typeid(T).name();
}

template <class F, class... Args>
void run_operation(Execution& execution) {
    ship::Reader reader = execution.arguments();
    F function = ship::read_closure<F>(reader);
    if constexpr (std::is_void_v<ship::ResultOf<F, Args...>>) {
        ship::invoke_decoded<Args...>(function, reader);
        execution.give_nothing();
    } else {
        execution.give(ship::invoke_decoded<Args...>(function, reader));
    }
}

} // namespace detail

template <class F, class... Args>
inline constexpr Operation operation_of{&detail::run_operation<F, Args...>, detail::type_name<F>()};

// The operation behind a task's function, for its name. Null when this process does not know it.
const Operation* find_operation(std::uint64_t function) noexcept;

// Runs a claimed task to its end: shows its output, publishes its result, wakes who waits, frees
// what nobody holds. Never throws: what the task throws becomes its result.
void run_task(Process& process, TaskRef task) noexcept;

// Ends a task that was claimed from `open` with the result that `write` gives. If `write` throws,
// the task is open again and the exception goes on.
void complete_task(Process& process, TaskRef task, const std::function<void(Execution&)>& write);

// Ends a claimed task with an exception instead of running it.
void fail_task(Process& process, TaskRef task, std::exception_ptr error) noexcept;
// Ends a claimed task as the launcher would have, because the worker that it was meant for has ended.
void fail_missing(Process& process, TaskRef task, WorkerId worker) noexcept;

} // namespace dshm::runtime
