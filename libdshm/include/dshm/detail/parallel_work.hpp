// What the participants of dshm::parallel's loops do. For the library: parallel.hpp is the way in.
#pragma once

#include <algorithm>
#include <functional>
#include <iterator>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/base/bits.hpp"
#include "dshm/detail/shared_place.hpp"
#include "dshm/ship/closure.hpp"

namespace dshm {

namespace detail {

template <class It>
concept SharedIterator = std::contiguous_iterator<It>;

// f(x[i])
template <class T, class F>
struct EachElement {
    using shipped_by_parts = ship::Parts<PlaceInSegment, F>;
    PlaceInSegment place;
    F function;

    void visit_parts(auto&& visit) const { visit(place, function); }
    void operator()(std::ptrdiff_t i) { function(reinterpret_cast<T*>(place.address())[i]); }
};

// out[i] = f(x[i])
template <class T, class U, class F>
struct TransformElement {
    using shipped_by_parts = ship::Parts<PlaceInSegment, PlaceInSegment, F>;
    PlaceInSegment from, to;
    F function;

    void visit_parts(auto&& visit) const { visit(from, to, function); }
    void operator()(std::ptrdiff_t i) {
        reinterpret_cast<U*>(to.address())[i] =
            function(reinterpret_cast<const T*>(from.address())[i]);
    }
};

// out[i] = f(x[i], y[i])
template <class T, class V, class U, class F>
struct TransformPair {
    using shipped_by_parts = ship::Parts<PlaceInSegment, PlaceInSegment, PlaceInSegment, F>;
    PlaceInSegment left, right, to;
    F function;

    void visit_parts(auto&& visit) const { visit(left, right, to, function); }
    void operator()(std::ptrdiff_t i) {
        reinterpret_cast<U*>(to.address())[i] =
            function(reinterpret_cast<const T*>(left.address())[i],
                     reinterpret_cast<const V*>(right.address())[i]);
    }
};

// Elements that are reduced to one value each: so many for every number of workers.
inline constexpr std::size_t reduction_block = 4096;

// Addition and multiplication of numbers may go by 16 sums side by side, which the compiler makes
// vectors of: 0.07 ns for a double in the cache with -O3, 0.29 with -O2, 0.80 one after the other.
template <class Op, class T>
inline constexpr bool
    may_reorder = std::is_arithmetic_v<T> &&
                  (std::is_same_v<Op, std::plus<>> || std::is_same_v<Op, std::plus<T>> ||
                   std::is_same_v<Op, std::multiplies<>> || std::is_same_v<Op, std::multiplies<T>>);

template <class R, class T, class Op>
R reduce_block(const T* x, std::size_t n, Op& op) {
    std::size_t i = 1;
    R total = static_cast<R>(x[0]);
    if constexpr (may_reorder<Op, T> && std::is_same_v<R, T>) {
        constexpr std::size_t lanes = 16;
        if (n >= 2 * lanes) {
            R sums[lanes];
            std::copy(x, x + lanes, sums);
            for (i = lanes; i + lanes <= n; i += lanes)
                for (std::size_t lane = 0; lane < lanes; ++lane)
                    sums[lane] = op(sums[lane], x[i + lane]);
            total = sums[0];
            for (std::size_t lane = 1; lane < lanes; ++lane)
                total = op(total, sums[lane]);
        }
    }
    for (; i < n; ++i)
        total = op(std::move(total), x[i]);
    return total;
}

// The values of the blocks of one slice, of which there are `slices`.
template <class R, class T, class Op>
struct ReduceSlice {
    using shipped_by_parts = ship::Parts<PlaceInSegment, Op, SliceShape>;
    PlaceInSegment place;
    Op op;
    SliceShape shape;

    void visit_parts(auto&& visit) const { visit(place, op, shape); }
    std::vector<R> operator()(std::ptrdiff_t slice) {
        const std::size_t blocks = base::ceil_div(shape.size, reduction_block);
        const SliceShape of_blocks{blocks, shape.slices};
        const T* x = reinterpret_cast<const T*>(place.address());
        std::vector<R> values;
        const auto index = static_cast<std::size_t>(slice);
        for (std::size_t b = of_blocks.first(index); b < of_blocks.first(index + 1); ++b) {
            const std::size_t first = b * reduction_block;
            values.push_back(
                reduce_block<R>(x + first, std::min(reduction_block, shape.size - first), op));
        }
        return values;
    }
};

struct Append {
    template <class V>
    V operator()(V all, V more) const {
        all.insert(all.end(), std::make_move_iterator(more.begin()),
                   std::make_move_iterator(more.end()));
        return all;
    }
};

} // namespace detail

} // namespace dshm
