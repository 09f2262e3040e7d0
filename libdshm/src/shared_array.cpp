#include "dshm/shared_array.hpp"

#include <limits>
#include <utility>

namespace dshm::detail {

namespace {

constexpr std::uint32_t object_kind = 1; // HandleRef::kind of what lies in the object table

std::string list_of(std::span<const std::size_t> numbers) {
    std::string text;
    for (const std::size_t number : numbers)
        text += (text.empty() ? "" : ", ") + std::to_string(number);
    return "(" + text + ")";
}

} // namespace

ObjectHandle::ObjectHandle(std::size_t bytes, const shm::ObjectDescription& description) {
    runtime::Process& process = runtime::current();
    object_ = process.objects().create(bytes, description);
    address_ = process.segment().base() + process.objects().view(object_).block;
    session_ = runtime::current_session();
}

ObjectHandle::ObjectHandle(const ObjectHandle& other) : object_(other.object_) {
    if (auto* scope = ship::ShippingScope::current_sending()) {
        scope->add({object_kind, object_.index, object_.generation});
        return;
    }
    const bool arriving = ship::ShippingScope::current_receiving() != nullptr;
    if (!arriving && other.session_ == 0)
        return;
    runtime::Process& process = runtime::current();
    if (!arriving && other.session_ != runtime::current_session())
        throw std::logic_error("dshm: this SharedArray belongs to a session that has ended");
    if (!process.objects().acquire(object_))
        throw std::runtime_error(
            "dshm: a SharedArray that was sent here is gone: every process that held it has ended");
    session_ = runtime::current_session();
    address_ = process.segment().base() + process.objects().view(object_).block;
}

ObjectHandle& ObjectHandle::operator=(const ObjectHandle& other) {
    ObjectHandle copy(other);
    std::swap(address_, copy.address_);
    std::swap(session_, copy.session_);
    std::swap(object_, copy.object_);
    return *this;
}

void ObjectHandle::drop() noexcept {
    runtime::Process* process = runtime::current_or_null();
    if (session_ == 0 || process == nullptr || session_ != runtime::current_session())
        return;
    process->objects().release(object_);
    // Pins of tasks that have ended meanwhile may be all that holds it now.
    if (process->holdings().pins_anything())
        process->holdings().release_pins_after_drop();
}

void throw_index_out_of_range(std::span<const std::size_t> indices,
                              std::span<const std::size_t> dims) {
    throw std::out_of_range("dshm: index " + list_of(indices) +
                            " is outside a SharedArray of dimensions " + list_of(dims));
}

std::size_t checked_bytes(std::span<const std::size_t> dims, std::size_t element) {
    std::size_t bytes = element;
    for (const std::size_t dim : dims)
        if (__builtin_mul_overflow(bytes, dim, &bytes) ||
            bytes > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()))
            throw std::length_error("dshm: a SharedArray of dimensions " + list_of(dims) +
                                    " has more bytes than a word can count");
    return bytes;
}

} // namespace dshm::detail
