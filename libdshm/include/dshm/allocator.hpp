// dshm::Allocator<T>: puts the elements of a container into the segment.
//
//     using Row = std::vector<double, dshm::Allocator<double>>;
//     using Table = boost::interprocess::vector<int, dshm::Allocator<int>>;
//     dshm::SegmentPtr<Table> table = dshm::construct<Table>();   // segment_ptr.hpp
//     dshm::fetch([table] { table->push_back(7); });
//
// Its pointers are offset pointers, so a container that lies in the segment itself (construct) is the
// same container in every process, wherever the segment is mapped, if it keeps such pointers:
//
//   everywhere     the containers of boost::interprocess and boost::container, strings included;
//                  std::vector (but not of bool) and std::deque of libstdc++
//   where the segment has the master's address (segment_at_masters_address(): always in forked workers,
//   nearly always elsewhere)
//                  vector<bool>, forward_list and the unordered ones of libstdc++, which link their
//                  parts by plain pointers
//   does not compile
//                  list, set, map and basic_string of libstdc++ 12: take those of Boost, or std::pmr
//                  (memory_resource.hpp)
//
// Containers are not synchronised: one process at a time changes one, and others read it after they
// have waited for that one (a future, a channel). A process that is killed while it changes a
// container leaves it as it was at that moment, and blocks that nobody can name any more stay until
// the session ends. All allocators are equal. Elements nested inside need it as well: through
// std::scoped_allocator_adaptor, for instance.
#pragma once

#include <cstddef>
#include <limits>
#include <type_traits>

#include "dshm/detail/session_blocks.hpp"
#include "dshm/shm/offset_ptr.hpp"

namespace dshm {

template <class T>
class Allocator {
public:
    using value_type = T;
    using pointer = shm::OffsetPtr<T>;
    using const_pointer = shm::OffsetPtr<const T>;
    using void_pointer = shm::OffsetPtr<void>;
    using const_void_pointer = shm::OffsetPtr<const void>;
    using size_type = std::size_t;
    using difference_type = std::ptrdiff_t;
    using is_always_equal = std::true_type;
    using propagate_on_container_copy_assignment = std::true_type;
    using propagate_on_container_move_assignment = std::true_type;
    using propagate_on_container_swap = std::true_type;

    constexpr Allocator() noexcept = default;
    template <class U>
    constexpr Allocator(const Allocator<U>&) noexcept {}

    // Room for `count` elements. Throws SharedMemoryExhausted when the segment or the file system
    // is full, std::length_error for more bytes than a word can count, std::logic_error without a
    // session. 20 ns for a small block.
    [[nodiscard]] pointer allocate(size_type count) {
        static_assert(alignof(T) <= detail::most_block_alignment,
                      "dshm: blocks of the segment are aligned to 64 KiB at most.");
        if (count > max_size())
            detail::throw_too_many(count, sizeof(T));
        return static_cast<T*>(detail::allocate_session_block(count * sizeof(T), alignof(T)));
    }
    // In any process. After the session it does nothing: the memory is gone.
    void deallocate(const pointer& block, size_type) noexcept {
        detail::free_session_block(const_cast<std::remove_cv_t<T>*>(block.get()));
    }
    size_type max_size() const noexcept {
        return static_cast<size_type>(std::numeric_limits<difference_type>::max()) / sizeof(T);
    }

    template <class U>
    friend constexpr bool operator==(const Allocator&, const Allocator<U>&) noexcept {
        return true;
    }
};

} // namespace dshm
