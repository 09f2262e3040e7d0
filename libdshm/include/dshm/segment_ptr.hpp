// SegmentPtr<T>: a pointer into the segment that means the same in every process.
//
//     auto map = dshm::construct<std::pmr::map<int, int>>();
//     dshm::fetch_from(2, [map] { (*map)[1] = 10; });          // captured, passed and returned
//     dshm::fetch_from(3, [map] { return map->at(1); });       // like a number
//     dshm::destroy(map);
//
// It owns nothing: like a plain pointer it dangles when somebody has destroyed the object. What lies
// there lives until then, or until the session ends, whoever dies. Nothing orders accesses by
// different processes but waiting for each other.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <type_traits>
#include <utility>

#include "dshm/allocator.hpp"
#include "dshm/base/scope_guard.hpp"
#include "dshm/memory_resource.hpp"

namespace dshm {

template <class T>
class SegmentPtr {
public:
    using element_type = T;

    constexpr SegmentPtr() noexcept = default;
    constexpr SegmentPtr(std::nullptr_t) noexcept {}
    // Throws std::invalid_argument for an address that does not lie in the segment.
    explicit SegmentPtr(T* address)
        : bits_(address == nullptr ? 0 : mark | detail::offset_in_segment(address)) {}
    template <class U>
    requires std::is_convertible_v<U*, T*> SegmentPtr(const SegmentPtr<U>& other)
        : SegmentPtr(static_cast<T*>(other.get())) {}

    // In this process. Throws std::logic_error without a session.
    T* get() const {
        return bits_ == 0 ? nullptr : static_cast<T*>(detail::address_in_segment(bits_ & ~mark));
    }
    std::add_lvalue_reference_t<T> operator*() const { return *get(); }
    T* operator->() const { return get(); }
    explicit constexpr operator bool() const noexcept { return bits_ != 0; }

    friend constexpr bool operator==(const SegmentPtr&, const SegmentPtr&) noexcept = default;
    // By place in the segment; null first.
    friend constexpr auto operator<=>(const SegmentPtr&, const SegmentPtr&) noexcept = default;

private:
    // No address has this bit, so nobody takes the number for one (ship/capture_guard.hpp).
    static constexpr std::uint64_t mark = std::uint64_t{1} << 63;

    std::uint64_t bits_ = 0; // mark and offset in the segment; 0 is null
};

static_assert(std::is_trivially_copyable_v<SegmentPtr<int>> &&
                  std::is_standard_layout_v<SegmentPtr<int>> && sizeof(SegmentPtr<int>) == 8,
              "sent as it is");

// A new object in the segment. One that takes an allocator (a container, a pair or another class of
// them) is given the segment's, as Allocator or as memory_resource(), so all of it lies there. Throws
// SharedMemoryExhausted and what the constructor throws; then nothing is left of it.
template <class T, class... Args>
SegmentPtr<T> construct(Args&&... args) {
    using Polymorphic = std::pmr::polymorphic_allocator<std::byte>;
    void* const place = detail::allocate_session_block(sizeof(T), alignof(T));
    base::ScopeGuard give_up([place] { detail::free_session_block(place); });
    T* const target = static_cast<T*>(place);
    if constexpr (std::uses_allocator_v<T, Polymorphic> &&
                  !std::uses_allocator_v<T, Allocator<std::byte>>)
        std::uninitialized_construct_using_allocator(target, Polymorphic(memory_resource()),
                                                     std::forward<Args>(args)...);
    else
        std::uninitialized_construct_using_allocator(target, Allocator<std::byte>(),
                                                     std::forward<Args>(args)...);
    give_up.dismiss();
    return SegmentPtr<T>(target);
}

// Destroys what construct has made, in any process, once; nothing for null.
template <class T>
void destroy(SegmentPtr<T> object) {
    T* const target = object.get();
    if (target == nullptr)
        return;
    std::destroy_at(target);
    detail::free_session_block(const_cast<std::remove_cv_t<T>*>(target));
}

} // namespace dshm
