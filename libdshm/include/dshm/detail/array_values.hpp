// The values that a new SharedArray begins with. For the library.
#pragma once

#include <array>
#include <cstddef>

#include "dshm/eigen.hpp"
#include "dshm/errors.hpp"

namespace dshm::detail {

// They are there already.
inline constexpr auto zeros = [](const auto&) {};

template <std::size_t N, class Derived>
std::array<std::size_t, N> dims_of(const Eigen::MatrixBase<Derived>& values) {
    static_assert(N == 1 || N == 2,
                  "dshm: an Eigen matrix makes a SharedArray of one or two dimensions.");
    if constexpr (N == 2)
        return {static_cast<std::size_t>(values.rows()), static_cast<std::size_t>(values.cols())};
    if (values.rows() != 1 && values.cols() != 1)
        throw DimensionMismatch("dshm: a matrix does not make a SharedArray of one dimension");
    return {static_cast<std::size_t>(values.size())};
}

template <class Array, class Derived>
void copy_values(const Array& array, const Eigen::MatrixBase<Derived>& values) {
    using T = typename Array::value_type;
    if constexpr (std::tuple_size_v<typename Array::Dims> == 2)
        array.matrix() = values.template cast<T>();
    else if (values.cols() == 1)
        array.vector() = values.col(0).template cast<T>();
    else
        array.vector() = values.row(0).transpose().template cast<T>();
}

} // namespace dshm::detail
