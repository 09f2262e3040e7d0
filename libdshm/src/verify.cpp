#include "dshm/verify.hpp"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <mutex>

#include "dshm/detail/array_storage.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm::detail {

namespace {

struct Settings {
    std::uint64_t session = 0;
    bool on = false;
    double tolerance = 0;
};

std::string_view variable(const char* name) {
    const char* value = std::getenv(name);
    return value == nullptr ? std::string_view() : std::string_view(value);
}

bool wanted() {
    const std::string_view text = variable("DSHM_VERIFY");
    if (text.empty() || text == "0" || text == "no" || text == "false")
        return false;
    if (text == "1" || text == "yes" || text == "true")
        return true;
    throw std::invalid_argument("dshm: DSHM_VERIFY='" + std::string(text) +
                                "': use 1 or 0; a tolerance goes into DSHM_VERIFY_TOLERANCE");
}

double tolerance_wanted() {
    const std::string_view text = variable("DSHM_VERIFY_TOLERANCE");
    if (text.empty())
        return 0;
    double value = -1;
    const auto [after, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || after != text.data() + text.size() || !(value >= 0 && value < 1))
        throw std::invalid_argument("dshm: DSHM_VERIFY_TOLERANCE='" + std::string(text) +
                                    "' is not a relative difference from 0 to 1, such as 1e-12");
    return value;
}

Settings settings() {
    static std::mutex lock;
    static Settings known;
    const std::lock_guard guard(lock);
    if (const std::uint64_t now = runtime::current_session(); known.session != now)
        known = {now, wanted(), tolerance_wanted()};
    return known;
}

std::string text_of(const Difference& difference) {
    if (difference.with_workers.empty() && difference.serially.empty())
        return " is not the same with workers as serially";
    return " is " + difference.with_workers + " with workers and " + difference.serially +
           " serially";
}

constexpr const char* advice =
    "; a body must not depend on what other iterations did, nor on which process runs it (if it is "
    "a matter of rounding, set DSHM_VERIFY_TOLERANCE=1e-12)";

} // namespace

bool verifying() {
    // The usual case without a lock: not even asked for.
    static std::atomic<std::uint64_t> not_wanted_in{0};
    const std::uint64_t now = runtime::current_session();
    if (not_wanted_in.load(std::memory_order_relaxed) == now) // relaxed: the number is all
        return false;
    const bool on = settings().on;
    if (!on)
        not_wanted_in.store(now, std::memory_order_relaxed); // relaxed: the number is all
    return on;
}

double verify_tolerance() { return settings().tolerance; }

void throw_difference(const std::string& subject, const Difference& difference) {
    const std::string place = difference.where.empty() ? "" : ", at " + difference.where + ",";
    throw VerificationFailed("dshm: verify: " + subject + place + text_of(difference) + advice);
}

void throw_serial_failure(std::string_view what, const std::exception& error) {
    throw VerificationFailed("dshm: verify: " + std::string(what) +
                             " ended well with workers and fails serially: " + error.what());
}

// ---- arrays ------------------------------------------------------------------------------------

namespace {

// Of an array that a run could change; null for anything else. The closure that is verified holds
// it, so the file of one in a file is mapped.
std::byte* writable_elements(runtime::Process& process, const ship::HandleRef& handle,
                             const shm::ObjectView& view) {
    if (view.description.kind == runtime::object_kind::array)
        return process.segment().base() + view.block;
    if (view.description.kind != runtime::object_kind::file_array)
        return nullptr;
    const auto* note = runtime::ArrayNote::find(process.segment(), view);
    const auto file = process.file_mappings().find(
        shm::ObjectTable::Ref{handle.index, static_cast<std::uint32_t>(handle.generation)});
    return note != nullptr && !note->read_only() && file ? file->data : nullptr;
}

} // namespace

void ArraySnapshot::add_handles(const ship::HandleList& handles) {
    runtime::Process& process = runtime::current();
    for (const ship::HandleRef& handle : handles.view()) {
        if (handle.kind != runtime::handle_kind::object)
            continue;
        const shm::ObjectView view =
            process.objects().view({handle.index, static_cast<std::uint32_t>(handle.generation)});
        std::byte* const data = writable_elements(process, handle, view);
        if (data == nullptr)
            continue;
        const bool known = std::any_of(arrays_.begin(), arrays_.end(),
                                       [&](const Array& array) { return array.data == data; });
        if (!known)
            arrays_.push_back({data,
                               bytes_of_elements(view),
                               array_description(view.description),
                               Elements::from_bits(view.description.type_hash),
                               {}});
    }
}

void ArraySnapshot::take() {
    for (Array& array : arrays_)
        array.copy.assign(array.data, array.data + array.size);
}

void ArraySnapshot::restore() const {
    for (const Array& array : arrays_)
        std::memcpy(array.data, array.copy.data(), array.size);
}

void ArraySnapshot::compare(std::string_view what) const {
    for (const Array& array : arrays_) {
        if (std::memcmp(array.copy.data(), array.data, array.size) == 0)
            continue;
        const auto found = first_difference_of_elements(array.elements, array.copy.data(),
                                                        array.data, array.size, verify_tolerance());
        if (found)
            throw_difference("element " + found->where + " of " + array.description + " after " +
                                 std::string(what),
                             {"", found->with_workers, found->serially});
    }
}

} // namespace dshm::detail
