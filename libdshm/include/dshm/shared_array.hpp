// SharedArray<T, N>: an array of plain values that every process of the session reads and writes in
// place.
//
//     dshm::SharedArray<double, 2> S({10, 10});
//     dshm::sync([&] { dshm::distributed(S.indices(), [S](std::size_t i) { S[i] = S[i] * S[i]; }); });
//
// Column-major, as in Julia and Eigen; zero-filled when new. A handle is a plain pointer and the
// dimensions: S[i] compiles to what an array compiles to. Handles are cheap to copy, are captured
// and passed by value, and the memory is freed when the last one in any process is gone. Nothing
// orders accesses by different processes but waiting: what a task wrote is seen by whoever has
// waited for it.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

#include "dshm/detail/array_elements.hpp"
#include "dshm/eigen.hpp"
#include "dshm/errors.hpp"
#include "dshm/range.hpp"
#include "dshm/runtime/object_handle.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm {

namespace detail {

[[noreturn]] void throw_index_out_of_range(std::span<const std::size_t> indices,
                                           std::span<const std::size_t> dims);
std::size_t checked_bytes(std::span<const std::size_t> dims, std::size_t element);

} // namespace detail

template <class T, std::size_t N = 1>
class SharedArray {
    static_assert(std::is_trivially_copyable_v<T>,
                  "dshm: the elements of a SharedArray lie in memory that other processes read, so "
                  "their type must be trivially "
                  "copyable; keep std::string, std::vector and the like in futures or channels.");
    static_assert(N >= 1 && N <= 4, "dshm: a SharedArray has one to four dimensions.");

public:
    using value_type = T;
    using shipped_by_copy = void; // see ship/shipping.hpp
    using Dims = std::array<std::size_t, N>;

    // Throws SharedMemoryExhausted, std::length_error when the size in bytes does not fit into a
    // word, std::logic_error without a session.
    explicit SharedArray(const Dims& dims)
        : dims_(dims), size_(product(dims)),
          object_(detail::checked_bytes(dims_, sizeof(T)), describe()),
          data_(static_cast<T*>(object_.address())) {}
    // A braced list: an array of the list's own type binds better than what else {10, 10} could
    // mean.
    template <std::integral D>
    explicit SharedArray(const D (&dims)[N]) : SharedArray(from_list(dims)) {}
    template <std::integral... D>
    requires(sizeof...(D) == N) explicit SharedArray(D... dims)
        : SharedArray(Dims{static_cast<std::size_t>(dims)...}) {}

    // A copy of a matrix or vector; a matrix gives two dimensions, a vector one.
    template <class Derived>
    explicit SharedArray(const Eigen::MatrixBase<Derived>& values) : SharedArray(dims_of(values)) {
        copy_from(values);
    }

    SharedArray(const SharedArray& other)
        : dims_(other.dims_), size_(other.size_), object_(other.object_),
          data_(static_cast<T*>(object_.address())) {}
    SharedArray& operator=(const SharedArray&) = default;

    // Without checks.
    T& operator[](std::size_t i) const { return data_[i]; }
    template <std::integral... I>
    requires(sizeof...(I) == N) T& operator()(I... indices) const {
        return data_[position({static_cast<std::size_t>(indices)...})];
    }
    // Throws std::out_of_range.
    template <std::integral... I>
    requires(sizeof...(I) == N || sizeof...(I) == 1) T& at(I... indices) const {
        const std::array<std::size_t, sizeof...(I)> where{static_cast<std::size_t>(indices)...};
        if constexpr (sizeof...(I) == N) {
            for (std::size_t k = 0; k < N; ++k)
                if (where[k] >= dims_[k])
                    detail::throw_index_out_of_range(where, dims_);
            return data_[position(where)];
        } else {
            if (where[0] >= size_)
                detail::throw_index_out_of_range(where, std::array{size_});
            return data_[where[0]];
        }
    }

    T* data() const { return data_; }
    std::size_t size() const { return size_; }
    const Dims& dims() const { return dims_; }
    T* begin() const { return data_; }
    T* end() const { return data_ + size_; }
    std::span<T> span() const { return {data_, size_}; }
    std::span<T> sdata() const { return span(); }
    // 0, 1, ... size() - 1.
    Range indices() const { return {0, static_cast<std::ptrdiff_t>(size_)}; }

    // The same memory as an Eigen matrix or vector.
    auto matrix() const requires(N == 2) {
        using Matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic>;
        return Eigen::Map<Matrix>(data_, static_cast<Eigen::Index>(dims_[0]),
                                  static_cast<Eigen::Index>(dims_[1]));
    }
    auto vector() const {
        using Vector = Eigen::Matrix<T, Eigen::Dynamic, 1>;
        return Eigen::Map<Vector>(data_, static_cast<Eigen::Index>(size_));
    }

private:
    template <class D>
    static Dims from_list(const D (&list)[N]) {
        Dims dims;
        std::copy(std::begin(list), std::end(list), dims.begin());
        return dims;
    }
    static std::size_t product(const Dims& dims) {
        return std::accumulate(dims.begin(), dims.end(), std::size_t{1}, std::multiplies<>());
    }
    std::size_t position(const Dims& indices) const {
        std::size_t at = indices[N - 1];
        for (std::size_t k = N - 1; k-- > 0;)
            at = at * dims_[k] + indices[k];
        return at;
    }
    shm::ObjectDescription describe() const {
        shm::ObjectDescription description{.kind = runtime::object_kind::array,
                                           .type_hash = detail::elements_of<T>().bits()};
        std::copy(dims_.begin(), dims_.end(), description.user.begin());
        return description;
    }
    template <class Derived>
    static Dims dims_of(const Eigen::MatrixBase<Derived>& values) {
        if constexpr (N == 2) {
            return {static_cast<std::size_t>(values.rows()),
                    static_cast<std::size_t>(values.cols())};
        } else {
            static_assert(N == 1,
                          "dshm: an Eigen matrix makes a SharedArray of one or two dimensions.");
            if (values.rows() != 1 && values.cols() != 1)
                throw DimensionMismatch(
                    "dshm: a matrix does not make a SharedArray of one dimension");
            return {static_cast<std::size_t>(values.size())};
        }
    }
    template <class Derived>
    void copy_from(const Eigen::MatrixBase<Derived>& values) {
        if constexpr (N == 2)
            matrix() = values.template cast<T>();
        else
            for (Eigen::Index i = 0; i < values.size(); ++i)
                data_[i] = values.cols() == 1 ? values(i, 0) : values(0, i);
    }

    Dims dims_;
    std::size_t size_;
    runtime::ObjectHandle object_;
    T* data_;
};

template <class T>
using SharedVector = SharedArray<T, 1>;
template <class T>
using SharedMatrix = SharedArray<T, 2>;

} // namespace dshm
