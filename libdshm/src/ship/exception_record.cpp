// Capturing, writing, reading and rebuilding exceptions.
#include "dshm/ship/exception_record.hpp"

#include <cxxabi.h>

#include <cstdlib>
#include <string_view>
#include <typeindex>

#include "dshm/ship/exception_type.hpp"
#include "dshm/ship/stack_text.hpp"
#include "dshm/ship/throw_recorder.hpp"
#include "exception_kinds.hpp"

namespace dshm::ship {

namespace {

// A composite of composites deeper than this arrives as text.
constexpr int deepest = 64;

std::string safe_text(const std::exception& error) {
    const char* text = error.what();
    return text == nullptr ? std::string() : text;
}

ExceptionRecord capture_at(std::exception_ptr exception, int depth);

void capture_children(ExceptionRecord& record, const CompositeException& error, int depth) {
    for (const std::exception_ptr& child : error.exceptions())
        if (depth < deepest)
            record.children.push_back(capture_at(child, depth + 1));
}

ExceptionRecord capture_standard(const std::exception& error, int depth) {
    ExceptionRecord record;
    record.type_name = demangled(typeid(error));
    record.message = safe_text(error);
    describe(record, error);
    if (const auto* composite = dynamic_cast<const CompositeException*>(&error))
        capture_children(record, *composite, depth);
    return record;
}

// Something that is no std::exception: `throw 42`, `throw "text"`.
ExceptionRecord capture_other(std::string message) {
    ExceptionRecord record;
    const std::type_info* type = abi::__cxa_current_exception_type();
    record.type_name = type == nullptr ? "(foreign exception)" : demangled(*type);
    record.message =
        message.empty() ? "an exception of type " + record.type_name : std::move(message);
    record.kind = runtime_error_kind();
    return record;
}

ExceptionRecord capture_details(const std::exception_ptr& exception, int depth) {
    try {
        std::rethrow_exception(exception);
    } catch (const RemoteException& error) {
        return error.record();
    } catch (const std::exception& error) {
        return capture_standard(error, depth);
    } catch (const std::string& text) {
        return capture_other(text);
    } catch (const char* text) {
        return capture_other(text == nullptr ? std::string() : text);
    } catch (...) {
        return capture_other({});
    }
}

// The stack first, because capturing the rest may throw and be noted itself.
ExceptionRecord capture_at(std::exception_ptr exception, int depth) {
    std::vector<std::uint64_t> frames = frame_words(ThrowRecorder::calls_of(exception));
    ExceptionRecord record = capture_details(exception, depth);
    if (record.frames.empty())
        record.frames = std::move(frames);
    return record;
}

ExceptionRecord read_at(Reader& reader, int depth) {
    if (depth > deepest)
        throw DecodeError("the record of an exception is damaged: it is nested too deeply");
    ExceptionRecord record;
    record.kind = decode<std::uint32_t>(reader);
    record.numbers = decode<std::array<std::int64_t, 2>>(reader);
    record.type_name = decode<std::string>(reader);
    record.message = decode<std::string>(reader);
    record.frames = decode<std::vector<std::uint64_t>>(reader);
    record.detail = decode<std::string>(reader);
    record.payload = decode<std::vector<std::byte>>(reader);
    record.hops = decode<std::vector<WorkerId>>(reader);
    for (std::size_t left = reader.take_count(64); left > 0; --left)
        record.children.push_back(read_at(reader, depth + 1));
    return record;
}

} // namespace

ExceptionRecord capture(std::exception_ptr exception, WorkerId worker) {
    ExceptionRecord record = capture_at(std::move(exception), 0);
    if (worker != 0)
        record.hops.insert(record.hops.begin(), worker);
    return record;
}

std::exception_ptr rebuild(ExceptionRecord record) {
    return rebuild_kind(std::make_shared<const ExceptionRecord>(std::move(record)));
}

ExceptionRecord process_exited_record(WorkerId worker, const std::string& reason) {
    return capture(std::make_exception_ptr(ProcessExitedException(worker, reason)), 0);
}

std::string text_with_hops(const ExceptionRecord& record) {
    std::string text;
    for (const WorkerId hop : record.hops)
        text += "On worker " + std::to_string(hop) + ":\n";
    return text + record.message;
}

std::string demangled(const std::type_info& type) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> name(
        abi::__cxa_demangle(type.name(), nullptr, nullptr, &status), &std::free);
    return status == 0 && name ? name.get() : type.name();
}

void write_record(Writer& writer, const ExceptionRecord& record) {
    encode(writer, record.kind, record.numbers, record.type_name, record.message, record.frames,
           record.detail, record.payload, record.hops, record.children.size());
    for (const ExceptionRecord& child : record.children)
        write_record(writer, child);
}

ExceptionRecord read_record(Reader& reader) { return read_at(reader, 0); }

} // namespace dshm::ship
