// The exceptions of dshm: what a program catches. (SharedMemoryExhausted is in shm/exhausted.hpp,
// one layer up.)
//
// What a failed task throws at its fetcher derives from RemoteException *and* from exactly one
// standard exception: the original's type if that is standard, registered with DSHM_EXCEPTION, or
// dshm's own; std::runtime_error otherwise. So all of these work across processes:
//
//     try { fetch(future); }
//     catch (const std::out_of_range& e) { ... }            // the original type
//     catch (const dshm::RemoteException& e) { e.pid(); }   // whatever it was, from another task
//     catch (const std::exception& e) { e.what(); }         // "On worker 3:\nindex 5"
//
// Every class here is copied without throwing, as the language asks of exceptions: texts are
// shared, never duplicated.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace dshm {

using WorkerId = int;

namespace ship {
struct ExceptionRecord;
}

// The mix-in of everything that was thrown in a task and is rethrown where its result is asked for,
// also when that is the same process. Not itself a std::exception, so that the thrown object has
// one std::exception base, not two.
class RemoteException {
public:
    virtual ~RemoteException();

    // The worker whose task failed. If that task only passed on what it had fetched itself, the
    // origin is hops().back().
    WorkerId pid() const noexcept;
    // Every worker the exception came through, the nearest first.
    const std::vector<WorkerId>& hops() const noexcept;
    // The original's type, as C++ spells it: "std::out_of_range", "app::ParseError", "int".
    const std::string& type_name() const noexcept;
    // One line "On worker N:" for each hop, then the original's message.
    virtual const char* what() const noexcept;
    // The original's message alone.
    const std::string& message() const noexcept;
    // The stack of the throwing side, inside its task, one frame a line, the innermost first:
    // "app::parse(int) [program+0x4f21]"; empty where none was recorded. The first call reads the
    // symbols of the programs and libraries: some milliseconds.
    const std::string& stacktrace() const noexcept;
    // All that is known, as it travels; for the layers below.
    const ship::ExceptionRecord& record() const noexcept { return *record_; }

protected:
    explicit RemoteException(std::shared_ptr<const ship::ExceptionRecord> record);
    RemoteException(const RemoteException&) noexcept = default;
    RemoteException& operator=(const RemoteException&) noexcept = default;

private:
    struct Texts;

    std::shared_ptr<const ship::ExceptionRecord> record_;
    std::shared_ptr<Texts> texts_;
};

// A process ended while something depended on it: a task that ran there, an object that lived
// there.
class ProcessExitedException : public std::runtime_error {
public:
    // `reason` has the exit code or the signal by name, and the task that ran: "killed by SIGKILL
    // while running fibonacci(int)". what() is one line with both, and then the last words.
    ProcessExitedException(WorkerId pid, std::string reason, std::string last_words = {});

    WorkerId pid() const noexcept { return pid_; }
    const std::string& reason() const noexcept { return *reason_; }
    // Lines: of a crash where it was, and its innermost calls; the last that the worker printed. Empty
    // where nothing is known, or more than 30 others that left some have died since.
    const std::string& last_words() const noexcept { return *last_words_; }

private:
    WorkerId pid_;
    std::shared_ptr<const std::string> reason_, last_words_;
};

// Several failures of one `sync` block or one list call, in the order in which the work was
// started.
class CompositeException : public std::runtime_error {
public:
    explicit CompositeException(std::vector<std::exception_ptr> exceptions);

    const std::vector<std::exception_ptr>& exceptions() const noexcept { return *exceptions_; }
    std::size_t size() const noexcept { return exceptions_->size(); }

private:
    std::shared_ptr<const std::vector<std::exception_ptr>> exceptions_;
};

// The state of an object does not allow the call, such as `put` on a closed channel.
class InvalidStateException : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// The call was interrupted or cancelled.
class InterruptException : public std::runtime_error {
public:
    InterruptException() : std::runtime_error("interrupted") {}
    using std::runtime_error::runtime_error;
};

// Shapes that must agree do not.
class DimensionMismatch : public std::invalid_argument {
public:
    using std::invalid_argument::invalid_argument;
};

// A value could not be written: its serialize function failed, or gave something else the second
// time it was asked.
class EncodeError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A block does not hold what it should: truncated, damaged, or written as another type. Nothing was
// read outside it.
class DecodeError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// A function, or its module, is not known to the process that should call it.
class UnknownFunction : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

} // namespace dshm
