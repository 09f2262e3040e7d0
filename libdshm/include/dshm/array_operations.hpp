// What is done to whole SharedArrays: each participant works on its own part.
//
//     dshm::fill(S, 1.0);
//     dshm::map_inplace([](double x, double y) { return x + 2 * y; }, S, A, B);
//     double norm = std::sqrt(dshm::reduce(std::plus<>{}, S));
//
// All of them wait. The parts are those of localindices; the part of a participant that has ended, or
// ends meanwhile, is done by the others, and by all workers when no participant is left. The one
// exception is map_inplace into one of its own sources: half-done work cannot be repeated there, so a
// death under way throws ProcessExitedException. What a function throws is thrown here, as by
// distributed(). Source of the semantics: Julia's SharedArrays.
#pragma once

#include <algorithm>
#include <complex>
#include <cstddef>
#include <iterator>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

#include "dshm/distributed.hpp"
#include "dshm/shared_array.hpp"
#include "dshm/task_rng.hpp"

namespace dshm {

namespace detail {

// The parts of an array that have elements, and who does them.
struct ArrayParts {
    template <class T, std::size_t N>
    explicit ArrayParts(const SharedArray<T, N>& array)
        : elements(array.size()), ids(array.procs()),
          count(parts_with_elements(elements, ids.size())) {
        ids = alive_among(ids);
    }

    Range numbers() const { return {0, static_cast<std::ptrdiff_t>(count)}; }
    OnKeyword on() const { return {ids}; }
    // As often as participants can end.
    RetriesKeyword until_nobody_is_left() const { return {static_cast<int>(count)}; }

    std::size_t elements;
    std::vector<WorkerId> ids;
    std::size_t count;
};

// body(part) for each of them; `repeatable` says whether a part may be begun anew.
template <class Body>
void for_each_part(const ArrayParts& parts, bool repeatable, const Body& body) {
    const runtime::SyncScope::Hidden hidden;
    const auto run = [body, n = parts.elements, count = parts.count](std::ptrdiff_t part) {
        body(part_of_array(n, count, static_cast<std::size_t>(part)));
    };
    if (repeatable)
        distributed(parts.numbers(), run, parts.on(), parts.until_nobody_is_left()).get();
    else
        distributed(parts.numbers(), run, parts.on()).get();
}

// A number from all bits of one or two draws: [0, 1) for floating-point ones, any value for others.
template <class T>
struct RandomValue {
    static_assert(std::is_arithmetic_v<T>,
                  "dshm: rand: the elements must be numbers; use map_inplace with task_rng().");
    static T draw() {
        const std::uint64_t bits = task_rng()();
        if constexpr (std::is_same_v<T, float>)
            return static_cast<float>(bits >> 40) * 0x1p-24f;
        else if constexpr (std::is_floating_point_v<T>)
            return static_cast<T>(static_cast<double>(bits >> 11) * 0x1p-53);
        else if constexpr (std::is_same_v<T, bool>)
            return (bits >> 63) != 0;
        else
            return static_cast<T>(bits);
    }
};
template <class T>
struct RandomValue<std::complex<T>> {
    static std::complex<T> draw() {
        const T real = RandomValue<T>::draw();
        return {real, RandomValue<T>::draw()};
    }
};

[[noreturn]] void throw_other_length(std::size_t dest, std::size_t source);
void require_same_size(std::size_t dest, std::size_t source); // DimensionMismatch
[[noreturn]] void throw_nothing_to_reduce();
void require_same_participants(const std::vector<WorkerId>& dest,
                               const std::vector<WorkerId>& source);
void require_common_participant(const std::vector<WorkerId>& dest,
                                const std::vector<WorkerId>& source);

inline void require_same_length(std::size_t dest, std::size_t source) {
    if (dest != source)
        throw_other_length(dest, source);
}

// A vector, a span, a std::array, ... in memory that only this process has.
template <class C>
concept PrivateElements = requires(C& c) {
    std::data(c);
    std::size(c);
}
&&!requires(C & c) { c.storage(); }
&&!requires(C & c) { c.derived(); };

} // namespace detail

// Sets every element to `value`. O(elements / participants).
template <class T, std::size_t N>
void fill(const SharedArray<T, N>& array, const std::type_identity_t<T>& value) {
    array.storage().require_writable("fill");
    detail::for_each_part(detail::ArrayParts(array), true, [array, value](const Range& part) {
        std::fill(array.begin() + part.first(), array.begin() + part.last(), value);
    });
}

// Independent random elements: uniform in [0, 1) for floating-point and complex numbers, any value for
// integers. Each comes from the stream of its index (task_rng.hpp), so they do not depend on the
// participants. O(elements / participants).
template <class T, std::size_t N>
void rand(const SharedArray<T, N>& array) {
    array.storage().require_writable("rand");
    const runtime::SyncScope::Hidden hidden;
    const detail::ArrayParts parts(array);
    distributed(
        array.indices(), [array](std::size_t i) { array[i] = detail::RandomValue<T>::draw(); },
        parts.on(), parts.until_nobody_is_left())
        .get();
}

// dest[i] = f(sources[i]...), or f(dest[i]) without sources. Throws DimensionMismatch when the lengths
// differ, std::invalid_argument when the participants do. O(elements / participants).
template <class F, class T, std::size_t N, class... Us, std::size_t... Ms>
void map_inplace(F f, const SharedArray<T, N>& dest, const SharedArray<Us, Ms>&... sources) {
    if constexpr (sizeof...(sources) == 0) {
        map_inplace(f, dest, dest);
    } else {
        dest.storage().require_writable("map_inplace");
        ship::detail::require_shippable_closure<F>();
        (detail::require_same_size(dest.size(), sources.size()), ...);
        (detail::require_same_participants(dest.procs(), sources.procs()), ...);
        const bool in_place = ((static_cast<const void*>(dest.data()) == sources.data()) || ...);
        detail::for_each_part(
            detail::ArrayParts(dest), !in_place, [f, dest, sources...](const Range& part) {
                auto function = f;
                const auto end = static_cast<std::size_t>(part.last());
                for (auto i = static_cast<std::size_t>(part.first()); i < end; ++i)
                    dest[i] = static_cast<T>(function(sources[i]...));
            });
    }
}

// op over all elements, from left to right in each part, then over the parts in the order of the
// participants: `op` must be associative. Gives a value of op's type. An empty array gives
// `init(value)`, which is also the left operand of the first, and without it throws
// std::invalid_argument. O(elements / participants).
template <class Op, class T, std::size_t N, detail::Keyword... Ks>
auto reduce(Op op, const SharedArray<T, N>& array, const Ks&... keywords) {
    detail::Accepts<detail::keyword::init>::template check<Ks...>();
    using Total = detail::ReducedType<Op, T>;
    const detail::ArrayParts parts(array);
    if constexpr (!detail::has_keyword<detail::keyword::init, Ks...>)
        if (parts.count == 0)
            detail::throw_nothing_to_reduce();
    return distributed(
        op, parts.numbers(),
        [op, array, count = parts.count](std::ptrdiff_t part) {
            const Range mine =
                detail::part_of_array(array.size(), count, static_cast<std::size_t>(part));
            auto combine = op;
            Total total = static_cast<Total>(array.begin()[mine.first()]);
            for (std::ptrdiff_t i = mine.first() + 1; i < mine.last(); ++i)
                total = combine(std::move(total), array.begin()[i]);
            return total;
        },
        parts.on(), parts.until_nobody_is_left(), keywords...);
}

// Copies all elements, in order. Throws std::out_of_range when the lengths differ,
// std::invalid_argument when the two have no participant in common. O(elements / participants).
template <class T, std::size_t N, class U, std::size_t M>
void copyto(const SharedArray<T, N>& dest, const SharedArray<U, M>& source) {
    dest.storage().require_writable("copyto");
    detail::require_same_length(dest.size(), source.size());
    detail::require_common_participant(dest.procs(), source.procs());
    detail::for_each_part(detail::ArrayParts(dest), true, [dest, source](const Range& part) {
        std::copy(source.begin() + part.first(), source.begin() + part.last(),
                  dest.begin() + part.first());
    });
}
// From and to memory that only this process has (vectors, spans, Eigen's matrices and blocks, in the
// order of columns): done here. O(elements).
template <class T, std::size_t N, detail::PrivateElements C>
void copyto(const SharedArray<T, N>& dest, const C& source) {
    dest.storage().require_writable("copyto");
    detail::require_same_length(dest.size(), std::size(source));
    std::copy_n(std::data(source), std::size(source), dest.begin());
}
template <class T, std::size_t N, class Derived>
void copyto(const SharedArray<T, N>& dest, const Eigen::DenseBase<Derived>& source) {
    dest.storage().require_writable("copyto");
    detail::require_same_length(dest.size(), static_cast<std::size_t>(source.size()));
    T* to = dest.begin();
    for (Eigen::Index j = 0; j < source.cols(); ++j)
        for (Eigen::Index i = 0; i < source.rows(); ++i)
            *to++ = static_cast<T>(source.derived().coeff(i, j));
}
template <class C, class U, std::size_t M>
requires detail::PrivateElements<std::remove_reference_t<C>>
void copyto(C&& dest, const SharedArray<U, M>& source) {
    source.storage().require_open(source.size() * sizeof(U));
    detail::require_same_length(std::size(dest), source.size());
    std::copy_n(source.begin(), source.size(), std::data(dest));
}
// A block of a matrix is a temporary, so it comes by const reference, as everywhere in Eigen.
template <class Derived, class U, std::size_t M>
void copyto(const Eigen::DenseBase<Derived>& dest, const SharedArray<U, M>& source) {
    source.storage().require_open(source.size() * sizeof(U));
    detail::require_same_length(static_cast<std::size_t>(dest.size()), source.size());
    Derived& target = const_cast<Derived&>(dest.derived());
    const U* from = source.begin();
    for (Eigen::Index j = 0; j < dest.cols(); ++j)
        for (Eigen::Index i = 0; i < dest.rows(); ++i)
            target.coeffRef(i, j) = static_cast<typename Derived::Scalar>(*from++);
}

} // namespace dshm
