// Which column a collection of a map becomes, and whether the shapes of several agree. Private to the
// map.
#pragma once

#include <array>
#include <iterator>
#include <memory>
#include <optional>
#include <span>
#include <type_traits>
#include <vector>

#include "dshm/detail/map_columns.hpp"
#include "dshm/errors.hpp"

namespace dshm::detail {

// ---- from a collection to its column -----------------------------------------------------------

template <class C>
inline constexpr bool is_shared_array = false;
template <class T, std::size_t N>
inline constexpr bool is_shared_array<SharedArray<T, N>> = true;

template <class C>
inline constexpr bool is_eigen = std::is_base_of_v<Eigen::DenseBase<C>, C>;

// A matrix of which the coefficients lie one after another, column by column.
template <class C>
constexpr bool is_column_by_column() {
    return ship::detail::is_plain_eigen<C> && (C::IsVectorAtCompileTime || !C::IsRowMajor);
}

// Any other matrix expression, evaluated once.
template <class C>
class EvaluatedColumn {
    using Scalar = typename C::Scalar;

protected:
    explicit EvaluatedColumn(const C& expression) : values_(expression) {}
    std::span<const Scalar> values() const {
        return {values_.data(), static_cast<std::size_t>(values_.size())};
    }

private:
    using Plain = typename C::PlainObject;
    using ColumnMajor = std::conditional_t<std::is_base_of_v<Eigen::ArrayBase<Plain>, Plain>,
                                           Eigen::Array<Scalar, Eigen::Dynamic, Eigen::Dynamic>,
                                           Eigen::Matrix<Scalar, Eigen::Dynamic, Eigen::Dynamic>>;
    ColumnMajor values_;
};
template <class C>
class ExpressionColumn : EvaluatedColumn<C>, public RunColumn<typename C::Scalar> {
public:
    explicit ExpressionColumn(const C& expression)
        : EvaluatedColumn<C>(expression), RunColumn<typename C::Scalar>(
                                              EvaluatedColumn<C>::values()) {}
    // The coefficients of a matrix of unknown size stay where they are when it is moved.
    ExpressionColumn(ExpressionColumn&&) = default;
    ExpressionColumn(const ExpressionColumn&) = delete;
    ExpressionColumn& operator=(const ExpressionColumn&) = delete;
};

template <class C>
std::optional<std::size_t> size_if_known(C& collection) {
    if constexpr (requires { std::size(collection); })
        return static_cast<std::size_t>(std::size(collection));
    else
        return std::nullopt;
}

template <class T>
inline constexpr bool crosses_as_run = ship::Bitwise<T> && !std::is_same_v<T, bool>;

template <class C>
auto column_of(C& collection) {
    using Plain = std::remove_const_t<C>;
    if constexpr (is_shared_array<Plain>) {
        return ArrayColumn<Plain>(collection);
    } else if constexpr (std::is_same_v<Plain, Range>) {
        return RangeColumn(collection);
    } else if constexpr (is_eigen<Plain>) {
        if constexpr (is_column_by_column<Plain>())
            return RunColumn<typename Plain::Scalar>(
                {collection.data(), static_cast<std::size_t>(collection.size())});
        else
            return ExpressionColumn<Plain>(collection);
    } else {
        using Iterator = decltype(std::begin(collection));
        using Sentinel = decltype(std::end(collection));
        if constexpr (std::random_access_iterator<Iterator> &&
                      std::sized_sentinel_for<Sentinel, Iterator>) {
            const auto size =
                static_cast<std::size_t>(std::end(collection) - std::begin(collection));
            using T = ElementOfIterator<Iterator>;
            if constexpr (std::contiguous_iterator<Iterator> && crosses_as_run<T>)
                return RunColumn<T>(
                    {size == 0 ? nullptr : std::to_address(std::begin(collection)), size});
            else
                return IteratorColumn<Iterator>(std::begin(collection), size);
        } else {
            return StreamColumn<Iterator, Sentinel>(std::begin(collection), std::end(collection),
                                                    size_if_known(collection));
        }
    }
}
template <class C>
using ColumnOf = decltype(column_of(std::declval<C&>()));

// ---- shapes ------------------------------------------------------------------------------------

// Rows and columns, and so on, of what has more than one dimension; empty for the rest.
template <class C>
std::vector<std::size_t> shape_of(const C& collection) {
    if constexpr (is_shared_array<C>) {
        const auto& dims = collection.dims();
        if (dims.size() > 1)
            return {dims.begin(), dims.end()};
    } else if constexpr (is_eigen<C>) {
        if (!C::IsVectorAtCompileTime)
            return {static_cast<std::size_t>(collection.rows()),
                    static_cast<std::size_t>(collection.cols())};
    }
    return {};
}

void require_same(const char* caller, std::span<const std::vector<std::size_t>> shapes);

template <class... Cs>
void require_same_shapes(const char* caller, const Cs&... collections) {
    if constexpr (sizeof...(Cs) > 1)
        require_same(caller, std::array{shape_of(collections)...});
}

} // namespace dshm::detail
