// An exception as it travels: captured where it was thrown, written into the block of the failed
// task, rebuilt where the result is asked for. Each process on the way adds itself to the hops.
//
//     catch (...) { record = capture(std::current_exception(), myid()); }     // in the worker
//     std::rethrow_exception(rebuild(record));                                // in the caller
//
// Capturing and rebuilding never lose more than details: a part that cannot be captured (a member
// that fails to encode, a what() that throws) is left out, and type name and message arrive.
#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>

#include "dshm/ship/codec.hpp"
#include "dshm/ship/exceptions.hpp"

namespace dshm::ship {

struct ExceptionRecord {
    std::uint32_t kind = 0;                   // row of the table in exception_record.cpp
    std::array<std::int64_t, 2> numbers = {}; // code; pid; bytes asked and left
    std::string type_name;                    // as C++ spells it
    std::string message;                      // what(), without hops
    std::vector<std::uint64_t> frames;        // of the throwing side: FunctionId bits of the calls
    std::string detail; // category of a code; reason of an exit; key of a registered type
    std::vector<std::byte> payload; // of a registered type that has cereal functions; last words
    std::vector<WorkerId> hops; // nearest first; empty for what dshm itself throws at the caller
    std::vector<ExceptionRecord> children; // of a CompositeException
};

// The record of `exception`, with `worker` put in front of the hops it already has. Worker 0 adds
// none. It has the stack that the current ThrowRecorder::Scope has noted, unless it comes from
// another task and brings its own.
ExceptionRecord capture(std::exception_ptr exception, WorkerId worker);

// The exception to throw: a RemoteException and the original's type if the record has hops, else
// that type alone.
std::exception_ptr rebuild(ExceptionRecord record);

// What the launcher leaves for a task whose worker died. Rebuilt as a plain ProcessExitedException.
ExceptionRecord process_exited_record(WorkerId worker, const std::string& reason);

// "On worker 2:\nOn worker 3:\nmessage"
std::string text_with_hops(const ExceptionRecord& record);

// The readable name of a type: "app::ParseError".
std::string demangled(const std::type_info& type);

void write_record(Writer& writer, const ExceptionRecord& record);
ExceptionRecord read_record(Reader& reader);

template <>
struct Codec<ExceptionRecord> : detail::NativeCodec<true> {
    static void write(auto& sink, const ExceptionRecord& record) {
        write_record(detail::bytes_of(sink), record);
    }
    static ExceptionRecord read(auto& source) { return read_record(detail::bytes_of(source)); }
};

// A T that came from another task.
template <class T>
class RemoteAs final : public T, public RemoteException {
public:
    RemoteAs(T original, std::shared_ptr<const ExceptionRecord> record)
        : T(std::move(original)), RemoteException(std::move(record)) {}

    const char* what() const noexcept override { return RemoteException::what(); }
};

template <class T>
std::exception_ptr rebuilt_as(T original, std::shared_ptr<const ExceptionRecord> record) {
    if (record->hops.empty())
        return std::make_exception_ptr(std::move(original));
    return std::make_exception_ptr(RemoteAs<T>(std::move(original), std::move(record)));
}

} // namespace dshm::ship
