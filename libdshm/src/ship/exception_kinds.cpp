// One row for each exception type that keeps its type, in `kinds` below.
#include "exception_kinds.hpp"

#include <algorithm>
#include <any>
#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <future>
#include <ios>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <regex>
#include <span>
#include <string_view>
#include <system_error>
#include <typeinfo>
#include <variant>

#include "dshm/ship/exception_type.hpp"
#include "dshm/shm/exhausted.hpp"
#include "error_codes.hpp"

namespace dshm::ship {

namespace {

using RecordPointer = std::shared_ptr<const ExceptionRecord>;

struct Kind {
    const std::type_info* type;
    bool (*is)(const std::exception&);
    void (*describe)(ExceptionRecord&, const std::exception&);
    std::exception_ptr (*rebuild)(RecordPointer);
};

template <class T>
bool is([[maybe_unused]] const std::exception& error) {
    if constexpr (std::is_same_v<T, std::exception>)
        return true;
    else
        return dynamic_cast<const T*>(&error) != nullptr;
}

void nothing_to_add(ExceptionRecord&, const std::exception&) {}

// Types that are made from their message.
template <class T>
constexpr Kind from_text() {
    return {&typeid(T), &is<T>, &nothing_to_add,
            [](RecordPointer record) { return rebuilt_as<T>(T(record->message), record); }};
}

// Types that hold nothing.
template <class T>
constexpr Kind from_nothing() {
    return {&typeid(T), &is<T>, &nothing_to_add,
            [](RecordPointer record) { return rebuilt_as<T>(T(), record); }};
}

// ---- types with an error code -------------------------------------------------------------------

template <class T>
void describe_code(ExceptionRecord& record, const std::exception& error) {
    const auto& original = dynamic_cast<const T&>(error);
    const std::error_code code = original.code();
    record.numbers[0] = code.value();
    record.detail = name_of(code.category());
    CodeDetails details{safe_message(code), {}, {}};
    if constexpr (std::is_same_v<T, std::filesystem::filesystem_error>) {
        details.first_path = original.path1().native();
        details.second_path = original.path2().native();
    }
    record.payload = packed(details);
}

std::exception_ptr rebuild_as_runtime_error(RecordPointer record) {
    return rebuilt_as<std::runtime_error>(std::runtime_error(record->message), record);
}

// what() of these types is the text they were made from and the code's message, which they add
// again.
std::string without_code_text(const std::string& message, const std::error_code& code) {
    const std::string tail = code.message();
    if (!message.ends_with(tail))
        return message;
    const std::string head = message.substr(0, message.size() - tail.size());
    return head.ends_with(": ") ? head.substr(0, head.size() - 2) : head;
}

template <class T, class Make>
std::exception_ptr rebuild_with_code(RecordPointer record, Make make) {
    try {
        const CodeDetails details = unpacked(record->payload);
        const auto code_value = static_cast<int>(record->numbers[0]);
        const std::error_code code(code_value,
                                   category_of(code_value, record->detail, details.text));
        return rebuilt_as<T>(make(code, without_code_text(record->message, code), details), record);
    } catch (const DecodeError&) { // a damaged record
        return rebuild_as_runtime_error(std::move(record));
    }
}

template <class T, auto Make>
constexpr Kind from_code() {
    return {&typeid(T), &is<T>, &describe_code<T>,
            [](RecordPointer record) { return rebuild_with_code<T>(std::move(record), Make); }};
}

std::system_error make_system_error(const std::error_code& code, const std::string& text,
                                    const CodeDetails&) {
    return {code, text};
}
std::ios_base::failure make_stream_failure(const std::error_code& code, const std::string& text,
                                           const CodeDetails&) {
    return std::ios_base::failure(text, code);
}
std::filesystem::filesystem_error make_filesystem_error(const std::error_code& code,
                                                        const std::string& text,
                                                        const CodeDetails& details) {
    return {text, details.first_path, details.second_path, code};
}
std::future_error make_future_error(const std::error_code& code, const std::string&,
                                    const CodeDetails&) {
    return std::future_error(static_cast<std::future_errc>(code.value()));
}

void describe_regex(ExceptionRecord& record, const std::exception& error) {
    record.numbers[0] =
        static_cast<std::int64_t>(dynamic_cast<const std::regex_error&>(error).code());
}
// A number that names none of these is not a value of the enumeration.
constexpr auto regex_codes = std::to_array<std::regex_constants::error_type>({
    std::regex_constants::error_collate,
    std::regex_constants::error_ctype,
    std::regex_constants::error_escape,
    std::regex_constants::error_backref,
    std::regex_constants::error_brack,
    std::regex_constants::error_paren,
    std::regex_constants::error_brace,
    std::regex_constants::error_badbrace,
    std::regex_constants::error_range,
    std::regex_constants::error_space,
    std::regex_constants::error_badrepeat,
    std::regex_constants::error_complexity,
    std::regex_constants::error_stack,
});
std::exception_ptr rebuild_regex(RecordPointer record) {
    const auto code = std::ranges::find(regex_codes, record->numbers[0], [](auto known) {
        return static_cast<std::int64_t>(known);
    });
    if (code == regex_codes.end()) // a damaged record
        return rebuild_as_runtime_error(std::move(record));
    return rebuilt_as<std::regex_error>(std::regex_error(*code), record);
}

// ---- types of dshm that hold more than a text ---------------------------------------------------

void describe_exit(ExceptionRecord& record, const std::exception& error) {
    const auto& exited = dynamic_cast<const ProcessExitedException&>(error);
    record.numbers[0] = exited.pid();
    record.detail = exited.reason();
    const auto words = std::as_bytes(std::span(exited.last_words()));
    record.payload.assign(words.begin(), words.end());
}
std::exception_ptr rebuild_exit(RecordPointer record) {
    const auto pid = static_cast<WorkerId>(record->numbers[0]);
    std::string words(reinterpret_cast<const char*>(record->payload.data()),
                      record->payload.size());
    return rebuilt_as<ProcessExitedException>(
        ProcessExitedException(pid, record->detail, std::move(words)), record);
}

void describe_exhausted(ExceptionRecord& record, const std::exception& error) {
    const auto& exhausted = dynamic_cast<const SharedMemoryExhausted&>(error);
    record.numbers = {static_cast<std::int64_t>(exhausted.asked()),
                      static_cast<std::int64_t>(exhausted.left())};
}
std::exception_ptr rebuild_exhausted(RecordPointer record) {
    const auto asked = static_cast<std::size_t>(record->numbers[0]);
    const auto left = static_cast<std::size_t>(record->numbers[1]);
    return rebuilt_as<SharedMemoryExhausted>(SharedMemoryExhausted(asked, left, record->message),
                                             record);
}

std::exception_ptr rebuild_composite(RecordPointer record) {
    std::vector<std::exception_ptr> exceptions;
    for (const ExceptionRecord& child : record->children)
        exceptions.push_back(rebuild(child));
    return rebuilt_as<CompositeException>(CompositeException(std::move(exceptions)), record);
}

// ---- the table ----------------------------------------------------------------------------------

// A record's kind is 1 + the index of its row, the same in all processes of one build. Derived
// types before their bases.
constexpr auto kinds = std::to_array<Kind>({
    // dshm
    {&typeid(ProcessExitedException), &is<ProcessExitedException>, &describe_exit, &rebuild_exit},
    {&typeid(CompositeException), &is<CompositeException>, &nothing_to_add, &rebuild_composite},
    {&typeid(SharedMemoryExhausted), &is<SharedMemoryExhausted>, &describe_exhausted,
     &rebuild_exhausted},
    from_text<InvalidStateException>(),
    from_text<InterruptException>(),
    from_text<DimensionMismatch>(),
    from_text<EncodeError>(),
    from_text<DecodeError>(),
    from_text<UnknownFunction>(),
    // logic_error and below
    from_text<std::invalid_argument>(),
    from_text<std::domain_error>(),
    from_text<std::length_error>(),
    from_text<std::out_of_range>(),
    from_code<std::future_error, &make_future_error>(),
    from_text<std::logic_error>(),
    // runtime_error and below
    from_text<std::range_error>(),
    from_text<std::overflow_error>(),
    from_text<std::underflow_error>(),
    {&typeid(std::regex_error), &is<std::regex_error>, &describe_regex, &rebuild_regex},
    from_code<std::ios_base::failure, &make_stream_failure>(),
    from_code<std::filesystem::filesystem_error, &make_filesystem_error>(),
    from_code<std::system_error, &make_system_error>(),
    from_text<std::runtime_error>(),
    // the others
    from_nothing<std::bad_array_new_length>(),
    from_nothing<std::bad_alloc>(),
    from_nothing<std::bad_any_cast>(),
    from_nothing<std::bad_cast>(),
    from_nothing<std::bad_typeid>(),
    from_nothing<std::bad_weak_ptr>(),
    from_nothing<std::bad_exception>(),
    from_nothing<std::bad_function_call>(),
    from_nothing<std::bad_optional_access>(),
    from_nothing<std::bad_variant_access>(),
    from_nothing<std::exception>(),
});

std::uint32_t kind_of_row(const Kind& kind) {
    return static_cast<std::uint32_t>(&kind - kinds.data()) + 1;
}

// The row of exactly this type. A private subclass in the standard library counts as its public
// base (libstdc++ throws std::__ios_failure for std::ios_base::failure); a program's own subclass
// does not.
const Kind* find_kind(const std::exception& error, std::string_view type_name) {
    for (const Kind& kind : kinds)
        if (*kind.type == typeid(error))
            return &kind;
    if (type_name.starts_with("std::"))
        for (const Kind& kind : kinds)
            if (kind.is(error))
                return &kind;
    return nullptr;
}

// ---- registered types ---------------------------------------------------------------------------

constexpr std::uint32_t registered_kind = 1'000'000;

struct Registered {
    std::mutex mutex;
    std::map<std::string, ExceptionType, std::less<>>
        types; // by mangled name, which is the same in every process
};

Registered& registered() {
    static Registered instance;
    return instance;
}

const ExceptionType* find_registered(std::string_view key) {
    Registered& all = registered();
    const std::lock_guard lock(all.mutex);
    const auto found = all.types.find(key);
    return found == all.types.end() ? nullptr : &found->second;
}

bool describe_registered(ExceptionRecord& record, const std::exception& error) {
    const ExceptionType* type = find_registered(typeid(error).name());
    if (type == nullptr)
        return false;
    record.kind = registered_kind;
    record.detail = typeid(error).name();
    try {
        record.payload = type->save(error);
    } catch (...) { // its members stay behind; name and message travel
    }
    return true;
}

std::exception_ptr rebuild_registered(const RecordPointer& record) {
    const ExceptionType* type = find_registered(record->detail);
    if (type == nullptr)
        return nullptr;
    try {
        return type->rebuild(record);
    } catch (...) {
        return nullptr;
    }
}

} // namespace

bool register_exception_type(const ExceptionType& type) {
    Registered& all = registered();
    const std::lock_guard lock(all.mutex);
    all.types.insert_or_assign(type.type->name(), type);
    return true;
}

std::uint32_t runtime_error_kind() noexcept {
    for (const Kind& kind : kinds)
        if (*kind.type == typeid(std::runtime_error))
            return kind_of_row(kind);
    return 0;
}

void describe(ExceptionRecord& record, const std::exception& error) {
    if (describe_registered(record, error))
        return;
    const Kind* kind = find_kind(error, record.type_name);
    record.kind = kind == nullptr ? runtime_error_kind() : kind_of_row(*kind);
    if (kind != nullptr)
        kind->describe(record, error);
}

std::exception_ptr rebuild_kind(RecordPointer record) {
    std::exception_ptr result;
    if (record->kind == registered_kind)
        result = rebuild_registered(record);
    else if (record->kind >= 1 && record->kind <= kinds.size())
        result = kinds[record->kind - 1].rebuild(record);
    return result ? result : rebuild_as_runtime_error(std::move(record));
}

namespace detail {

AlignedBytes::AlignedBytes(std::size_t size)
    : size_(size),
      data_(static_cast<std::byte*>(::operator new(size, std::align_val_t(block_alignment)))) {}

AlignedBytes::AlignedBytes(const std::vector<std::byte>& bytes) : AlignedBytes(bytes.size()) {
    if (!bytes.empty())
        std::memcpy(data_, bytes.data(), bytes.size());
}

AlignedBytes::~AlignedBytes() { ::operator delete(data_, std::align_val_t(block_alignment)); }

} // namespace detail

} // namespace dshm::ship
