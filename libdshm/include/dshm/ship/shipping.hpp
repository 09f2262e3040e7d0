// Objects that travel by copy construction: closures and handles, copied *into* a payload and *out
// of* it.
//
// A handle (SharedArray, Future, Shared<T>, ...) is its identity and a pointer that only this
// process can use. While a payload that contains it is written, its copy constructor is told so by
// the current ShippingScope, and lists itself:
//
//     SharedArray(const SharedArray& other) : ... {
//         if (auto* scope = ship::ShippingScope::current_sending())  // the copy lies in a payload
//             scope->add({kind, other.index_, other.generation_}, this, sizeof *this);
//         else if (ship::ShippingScope::current_receiving())
//             ...                     // `other` lies in one: re-derive the pointer
//     }
//
// The list goes with the payload, so that whoever ends it can release the handles without running
// user code: the image in the payload is never destroyed. Any thread may ship; scopes belong to
// their thread, and an inner one hides an outer one. A scope lives only around one copy
// construction, so that other code never runs under a wrong one; it must not be held across
// anything that waits. If the caller dies half-way the payload was not published, and the list dies
// with it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/ship/buffer.hpp"

namespace dshm::ship {

// A handle inside a payload, as recovery sees it.
//
//   | kind: 4 | index: 4 | generation: 8 |
struct HandleRef {
    std::uint32_t kind;       // which table
    std::uint32_t index;      // row of the table
    std::uint64_t generation; // of that row, so that a stale reference harms nobody

    friend bool operator==(const HandleRef&, const HandleRef&) = default;
};

static_assert(sizeof(HandleRef) == 16, "lists of these lie in the segment");
static_assert(std::is_trivially_copyable_v<HandleRef>, "copied into the segment by memcpy");

// Up to eight cost no allocation.
template <class T>
class ShortList {
public:
    void add(const T& item) {
        if (size_ < few_.size())
            few_[size_] = item;
        else
            spill(item);
        ++size_;
    }

    std::span<const T> view() const noexcept {
        return many_.empty() ? std::span<const T>(few_.data(), size_) : std::span<const T>(many_);
    }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    void clear() noexcept {
        size_ = 0;
        many_.clear();
    }

private:
    void spill(const T& item) {
        if (many_.empty())
            many_.assign(few_.begin(), few_.end());
        many_.push_back(item);
    }

    std::array<T, 8> few_;
    std::size_t size_ = 0;
    std::vector<T> many_; // all of them, once there are more than a few
};

// The handles of one payload.
class HandleList : public ShortList<HandleRef> {};

// Where a handle lies: its bytes are its own business, whatever they look like.
struct HandlePlace {
    const void* address;
    std::size_t size;
};

class ShippingScope {
public:
    enum class Mode { sending, receiving };

    // Collects into `handles`, which may be null; without it, into a list of its own.
    ShippingScope(Mode mode, HandleList* handles) noexcept
        : mode_(mode), handles_(handles), outer_(current_) {
        current_ = this;
    }
    explicit ShippingScope(Mode mode) noexcept : ShippingScope(mode, &own_) {}
    ~ShippingScope() { current_ = outer_; }
    ShippingScope(const ShippingScope&) = delete;
    ShippingScope& operator=(const ShippingScope&) = delete;

    static ShippingScope* current_sending() noexcept { return current(Mode::sending); }
    static ShippingScope* current_receiving() noexcept { return current(Mode::receiving); }
    // For whoever goes on with another stack in the middle.
    static ShippingScope* exchange(ShippingScope* scope) noexcept {
        return std::exchange(current_, scope);
    }

    // Called by a handle that is being copied: what it refers to, and where the copy lies.
    void add(const HandleRef& handle, const void* address, std::size_t size) {
        places_.add({address, size});
        if (handles_ != nullptr)
            handles_->add(handle);
    }
    std::span<const HandleRef> handles() const noexcept {
        return handles_ == nullptr ? std::span<const HandleRef>() : handles_->view();
    }
    // The handles that were copied in this scope.
    std::span<const HandlePlace> places() const noexcept { return places_.view(); }

private:
    static ShippingScope* current(Mode mode) noexcept {
        return current_ != nullptr && current_->mode_ == mode ? current_ : nullptr;
    }

    static inline thread_local constinit ShippingScope* current_ = nullptr;

    Mode mode_;
    HandleList* handles_;
    ShippingScope* outer_;
    HandleList own_;
    ShortList<HandlePlace> places_;
};

// Types that say of themselves `using shipped_by_copy = void;` are handles in the sense above.
template <class T>
concept ShippedByCopy = requires {
    typename T::shipped_by_copy;
}
&&std::is_copy_constructible_v<T>;

namespace detail {

template <class T>
constexpr void require_block_alignment() {
    static_assert(alignof(T) <= block_alignment,
                  "dshm: this callable or handle asks for more than 64 bytes of alignment, which "
                  "blocks of shared memory do "
                  "not have; remove its alignas, or keep the over-aligned value in a SharedArray.");
}

// The object whose image lies there.
template <class T>
T copy_of_image(const std::byte* source) {
    const T& image = *std::launder(reinterpret_cast<const T*>(source));
    if constexpr (std::is_trivially_copyable_v<T>) {
        return image;
    } else {
        const ShippingScope scope(ShippingScope::Mode::receiving, nullptr);
        return image;
    }
}

} // namespace detail

template <class T>
void copy_into(Writer& writer, const T& value) {
    detail::require_block_alignment<T>();
    if constexpr (std::is_trivially_copyable_v<T>) {
        writer.copy(std::addressof(value), sizeof(T), alignof(T));
    } else if (std::byte* target = writer.reserve(sizeof(T), alignof(T))) {
        const ShippingScope scope(ShippingScope::Mode::sending, writer.handles());
        ::new (static_cast<void*>(target)) T(value);
    }
}

template <class T>
T copy_out_of(Reader& reader) {
    return detail::copy_of_image<T>(reader.take(sizeof(T), alignof(T)));
}

} // namespace dshm::ship
