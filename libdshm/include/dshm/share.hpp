// share: one read-only value for all processes.
//
//     auto table = dshm::share(load_table());                     // 8 MB, stored once
//     auto found = dshm::pmap([table](int key) { return table->at(key); }, keys);
//
// A handle of 32 bytes that is captured and passed by value, wherever a closure goes. A trivially
// copyable value is read where it lies in shared memory. Any other is decoded once in each process
// that looks at it, at its first look, and kept there until the last handle of any process is gone.
#pragma once

#include <atomic>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include "dshm/runtime/object_handle.hpp"
#include "dshm/ship/codec.hpp"
#include "dshm/ship/parameters.hpp"

namespace dshm {

template <class T>
class Shared {
    static_assert(std::is_same_v<T, std::decay_t<T>>,
                  "dshm: a Shared value is read-only anyway: write Shared<T> without const.");

public:
    using value_type = T;
    using shipped_by_copy = void; // see ship/shipping.hpp

    // Stores a copy. Throws SharedMemoryExhausted, what encoding throws, and std::invalid_argument
    // for a value that has handles of dshm in it: those are shared already, capture them beside it.
    explicit Shared(const T& value) : object_(store(value)) {}
    Shared(const Shared& other) : object_(other.object_) {}
    Shared& operator=(const Shared& other) {
        object_ = other.object_;
        // relaxed: one thread assigns.
        value_.store(nullptr, std::memory_order_relaxed);
        return *this;
    }

    // The value, valid as long as this handle or another one in this process.
    const T& operator*() const {
        if constexpr (in_place) {
            return *static_cast<const T*>(object_.address());
        } else {
            // acquire: pairs with look_up().
            const T* known = value_.load(std::memory_order_acquire);
            return known != nullptr ? *known : look_up();
        }
    }
    const T* operator->() const { return std::addressof(**this); }
    const T* get() const { return std::addressof(**this); }

private:
    static constexpr bool in_place =
        ship::Bitwise<T> && alignof(T) <= ship::block_alignment && !std::is_same_v<T, bool>;

    static runtime::ObjectHandle store(const T& value) {
        const ship::Footprint need = ship::footprint(value);
        runtime::ObjectHandle object(
            need.size, {.kind = runtime::object_kind::value, .user = {need.size, 0, 0, 0}});
        if constexpr (in_place) {
            std::memcpy(object.address(), std::addressof(value), sizeof(T));
        } else {
            ship::HandleList handles;
            ship::Writer writer(static_cast<std::byte*>(object.address()), need.size);
            writer.list_handles(&handles);
            ship::encode(writer, value);
            if (!handles.empty())
                throw std::invalid_argument("dshm: share: the value holds a handle of dshm, which "
                                            "is shared already; share the rest and capture it "
                                            "beside the Shared value");
        }
        runtime::current().counters().add(runtime::Count::bytes_sent, need.size);
        return object;
    }

    const T& look_up() const {
        runtime::Process& process = runtime::current();
        const auto decode = [&]() -> std::shared_ptr<const void> {
            const std::size_t size = process.objects().view(object_.object()).description.user[0];
            ship::Reader reader(static_cast<const std::byte*>(object_.address()), size);
            return std::make_shared<const T>(ship::decode<T>(reader));
        };
        // The entry stays while the object lives, and this handle keeps it alive.
        const T* value =
            static_cast<const T*>(process.shared_values().find(object_.object(), decode).get());
        value_.store(value, std::memory_order_release);
        return *value;
    }

    runtime::ObjectHandle object_;
    mutable std::atomic<const T*> value_{nullptr}; // once looked up; null in a payload
};

// Stores `value` once, for all processes of the session.
template <class T>
Shared<ship::WireType<T>> share(const T& value) {
    return Shared<ship::WireType<T>>(value);
}

} // namespace dshm
