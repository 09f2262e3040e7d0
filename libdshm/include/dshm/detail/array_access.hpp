// The elements of a SharedArray and their division: what every handle gives, however it was made.
//
// For the library: shared_array.hpp is the way in.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dshm/detail/array_request.hpp"
#include "dshm/detail/array_storage.hpp"
#include "dshm/eigen.hpp"

namespace dshm::detail {

template <class T, std::size_t N>
class ArrayAccess {
public:
    using value_type = T;
    using Dims = std::array<std::size_t, N>;

    // Without checks.
    T& operator[](std::size_t i) const { return data()[i]; }
    template <std::integral... I>
    requires(sizeof...(I) == N) T& operator()(I... indices) const {
        return data()[position({static_cast<std::size_t>(indices)...})];
    }
    // Throws std::out_of_range, also when anybody has closed the array.
    template <std::integral... I>
    requires(sizeof...(I) == N || sizeof...(I) == 1) T& at(I... indices) const {
        storage_.require_open(size_ * sizeof(T));
        const std::array<std::size_t, sizeof...(I)> where{static_cast<std::size_t>(indices)...};
        if constexpr (sizeof...(I) == N) {
            for (std::size_t k = 0; k < N; ++k)
                if (where[k] >= dims_[k])
                    throw_index_out_of_range(where, dims_);
            return data()[position(where)];
        } else {
            if (where[0] >= size_)
                throw_index_out_of_range(where, std::array{size_});
            return data()[where[0]];
        }
    }

    T* data() const { return reinterpret_cast<T*>(storage_.data()); }
    std::size_t size() const { return size_; }
    const Dims& dims() const { return dims_; }
    T* begin() const { return data(); }
    T* end() const { return data() + size_; }
    std::span<T> span() const { return {data(), size_}; }
    std::span<T> sdata() const { return span(); }
    // An element that several processes change at once, as a std::atomic_ref.
    std::atomic_ref<T> atomic(std::size_t i) const {
        static_assert(
            std::atomic_ref<T>::is_always_lock_free,
            "dshm: atomic elements are plain values of up to eight bytes: a lock would be "
            "in the memory of one process.");
        if (reinterpret_cast<std::uintptr_t>(data() + i) % std::atomic_ref<T>::required_alignment !=
            0) [[unlikely]]
            throw_not_aligned();
        return std::atomic_ref<T>(data()[i]);
    }

    // 0, 1, ... size() - 1.
    Range indices() const { return {0, static_cast<std::ptrdiff_t>(size_)}; }
    // The participants, in their order; some may have ended.
    std::vector<WorkerId> procs() const {
        const auto ids = storage_.note().participants();
        return {ids.begin(), ids.end()};
    }
    // Which participant this process is, from 0; -1 if it is none.
    int indexpids() const {
        const auto ids = storage_.note().participants();
        const auto found = std::find(ids.begin(), ids.end(), myid());
        return found == ids.end() ? -1 : static_cast<int>(found - ids.begin());
    }
    // This process's part: parts are of the same length, and the last takes the rest. Of an array
    // with fewer elements than participants the first have one each. Empty for who takes no part.
    Range localindices() const {
        const int index = indexpids();
        if (index < 0)
            return {0, 0};
        return part_of_array(size_, storage_.note().participants().size(),
                             static_cast<std::size_t>(index));
    }

    // The same memory as an Eigen matrix or vector.
    auto matrix() const requires(N == 2) {
        using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
        return Eigen::Map<Matrix>(data(), static_cast<Eigen::Index>(dims_[0]),
                                  static_cast<Eigen::Index>(dims_[1]));
    }
    auto vector() const {
        using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;
        return Eigen::Map<Vector>(data(), static_cast<Eigen::Index>(size_));
    }

    // For the library.
    const ArrayStorage& storage() const { return storage_; }

protected:
    ArrayAccess(const Dims& dims, const ArrayStorage& storage)
        : dims_(dims), size_(product_of(dims)), storage_(storage) {}
    ArrayAccess() = default;
    ArrayAccess(const ArrayAccess&) = default;
    ArrayAccess& operator=(const ArrayAccess&) = default;
    ~ArrayAccess() = default;

    void let_go() const {
        storage_.close();
        dims_ = {};
        size_ = 0;
    }

private:
    std::size_t position(const Dims& indices) const {
        std::size_t at = indices[N - 1];
        for (std::size_t k = N - 1; k-- > 0;)
            at = at * dims_[k] + indices[k];
        return at;
    }

    // close() changes them, of handles that are captured by const closures.
    mutable Dims dims_{};
    mutable std::size_t size_ = 0;
    mutable ArrayStorage storage_;
};

} // namespace dshm::detail
