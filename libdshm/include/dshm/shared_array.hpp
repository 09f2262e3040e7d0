// SharedArray<T, N>: an array of plain values that every process of the session reads and writes in
// place.
//
//     dshm::SharedArray<double, 2> S({10, 10});
//     dshm::sync([&] { dshm::distributed(S.indices(), [S](std::size_t i) { S[i] = S[i] * S[i]; }); });
//
//     dshm::SharedMatrix<double> grid(512, 512, dshm::init([](const auto& S) {
//         for (long i : S.localindices())
//             S[i] = 20;
//     }), dshm::named("grid"));
//
// Column-major, as in Julia and Eigen; zero-filled when new. A handle is a plain pointer and the
// dimensions: S[i] compiles to what an array compiles to. Handles are cheap to copy, are captured
// and passed by value, and the memory is freed when the last one in any process is gone. Nothing
// orders accesses by different processes but waiting: what a task wrote is seen by whoever has
// waited for it.
//
// The participants, all workers unless `on(ids)` says otherwise, share the array's parts among them
// (localindices) and do what is done to all of it (array_operations.hpp). Any other process may use it
// as well. Source of the semantics: Julia's SharedArrays.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/detail/array_access.hpp"
#include "dshm/detail/array_request.hpp"
#include "dshm/detail/array_values.hpp"
#include "dshm/everywhere.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm {

// What is done with elements and parts (S[i], at, data, localindices, matrix, ...) is in
// detail/array_access.hpp.
template <class T, std::size_t N = 1>
class SharedArray : public detail::ArrayAccess<T, N> {
    static_assert(std::is_trivially_copyable_v<T>,
                  "dshm: the elements of a SharedArray lie in memory that other processes read, so "
                  "their type must be trivially "
                  "copyable; keep std::string, std::vector and the like in futures or channels.");
    static_assert(N >= 1 && N <= 4, "dshm: a SharedArray has one to four dimensions.");
    using Access = detail::ArrayAccess<T, N>;

public:
    using shipped_by_copy = void; // see ship/shipping.hpp
    using typename Access::Dims;

    // Of no array, as a closed one: empty, and `at` throws.
    SharedArray() = default;
    // Dimensions, as numbers, a braced list or an array, then keywords: `init(f)`, which runs f(S) on
    // every participant at the same time and waits; `on(ids)`, the participants; `named("A")`, which
    // others open it by, from when init is done. Throws SharedMemoryExhausted; std::invalid_argument
    // for a negative dimension or a name that is taken; std::length_error when a word cannot count
    // the bytes; CompositeException when init failed; std::logic_error without a session. Then
    // nothing is left of it.
    template <detail::Keyword... Ks>
    explicit SharedArray(const Dims& dims, const Ks&... keywords)
        : SharedArray(dims, std::tie(keywords...), detail::zeros) {}
    // A braced list: an array of the list's own type, or of sizes, binds better than what else {10, n}
    // could mean.
    explicit SharedArray(const std::size_t (&dims)[N])
        : SharedArray(detail::checked_dims<N>(dims), std::tuple<>(), detail::zeros) {}
    template <std::integral D, detail::Keyword... Ks>
    explicit SharedArray(const D (&dims)[N], const Ks&... keywords)
        : SharedArray(detail::checked_dims<N>(dims), keywords...) {}
    template <std::integral D, detail::Keyword... Ks>
    requires(!std::is_same_v<D, std::size_t>) explicit SharedArray(const std::array<D, N>& dims,
                                                                   const Ks&... keywords)
        : SharedArray(detail::checked_dims<N>(dims), keywords...) {}
    template <std::integral D, class... Rest>
    requires detail::DimsThenKeywords<N - 1, Rest...>
    explicit SharedArray(D dim, const Rest&... rest)
        : SharedArray(detail::leading_dims<N>(dim, rest...),
                      detail::trailing_keywords<N>(dim, rest...), detail::zeros) {}

    // A copy of a matrix or vector; a matrix gives two dimensions, a vector one. Keywords as above.
    template <class Derived, detail::Keyword... Ks>
    explicit SharedArray(const Eigen::MatrixBase<Derived>& values, const Ks&... keywords)
        : SharedArray(detail::dims_of<N>(values), std::tie(keywords...),
                      [&](const SharedArray& array) { detail::copy_values(array, values); }) {}
    template <class U, detail::Keyword... Ks>
    requires(N == 1) explicit SharedArray(const std::vector<U>& values, const Ks&... keywords)
        : SharedArray(Dims{values.size()}, std::tie(keywords...), [&](const SharedArray& array) {
              std::copy(values.begin(), values.end(), array.begin());
          }) {}

    // The array of that name, made by any process of the session. Throws std::out_of_range when there
    // is none, std::invalid_argument when it is of another type or number of dimensions, or a channel.
    static SharedArray open(const std::string& name) {
        Dims dims{};
        const auto storage = detail::ArrayStorage::open(name, shape_of(dims), dims);
        return SharedArray(dims, storage);
    }

    // An array whose elements lie in a file, which each process maps for itself: what is written
    // there reaches the file. Dimensions and keywords as above, and `mode`: "r" for a file that is
    // there and is only read; "r+" to write it as well; "w+" to truncate it first, or make it; "a+" to
    // keep or make it; by default "r+" if there is one, else "w+". `offset(bytes)` is where the first
    // element lies, on any byte (but atomic() needs aligned ones). A file that is too short grows.
    // Throws std::invalid_argument for a path that is not absolute or not a regular file, and for
    // what mode "r" cannot do: miss the file, lengthen it, or run init; std::system_error for what the
    // system refuses. A file that was made is removed then, one that grew is cut back. With "r",
    // writing an element is a segmentation fault. A process that has no handle any more may keep the
    // file mapped while others have one, up to eight files.
    template <detail::Keyword... Ks>
    static SharedArray map_file(const std::string& path, const Dims& dims, const Ks&... keywords) {
        return map_file_as_told(path, dims, std::tie(keywords...));
    }
    template <std::integral D, detail::Keyword... Ks>
    static SharedArray map_file(const std::string& path, const D (&dims)[N],
                                const Ks&... keywords) {
        return map_file_as_told(path, detail::checked_dims<N>(dims), std::tie(keywords...));
    }
    template <std::integral D, detail::Keyword... Ks>
    requires(!std::is_same_v<D, std::size_t>) static SharedArray
        map_file(const std::string& path, const std::array<D, N>& dims, const Ks&... keywords) {
        return map_file_as_told(path, detail::checked_dims<N>(dims), std::tie(keywords...));
    }
    template <std::integral D, class... Rest>
    requires detail::DimsThenKeywords<N - 1, Rest...>
    static SharedArray map_file(const std::string& path, D dim, const Rest&... rest) {
        return map_file_as_told(path, detail::leading_dims<N>(dim, rest...),
                                detail::trailing_keywords<N>(dim, rest...));
    }

    SharedArray(const SharedArray&) = default;
    SharedArray& operator=(const SharedArray&) = default;

    // The same elements in another shape; DimensionMismatch when they are not as many.
    template <std::size_t M>
    SharedArray<T, M> reshape(const std::array<std::size_t, M>& dims) const {
        if (detail::product_of(dims) != this->size())
            detail::throw_other_size("reshape", dims, this->size());
        return SharedArray<T, M>(dims, this->storage());
    }
    template <std::size_t M, std::integral D>
    SharedArray<T, M> reshape(const D (&dims)[M]) const {
        return reshape<M>(detail::checked_dims<M>(dims));
    }
    template <std::size_t M, std::integral... D>
    requires(sizeof...(D) == M) SharedArray<T, M> reshape(D... dims)
    const { return reshape<M>(detail::leading_dims<M>(dims...)); }
    // An array of its own, with the same elements, shape and participants that are alive.
    SharedArray deepcopy() const;
    // Closes the array for all its handles: `at` throws from now on. This handle lets go of it and is
    // empty; the memory is freed with the last. Closing twice does nothing.
    void close() const { this->let_go(); }

private:
    template <class U, std::size_t M>
    friend class SharedArray;
    using Init = detail::keyword::init;

    // What all constructors do.
    template <class... Ks, class Values>
    SharedArray(const Dims& dims, const std::tuple<const Ks&...>& keywords, const Values& values)
        : Access(dims, {shape_of(dims), detail::participants_among(keywords),
                        detail::name_among(keywords)}) {
        detail::Accepts<Init, detail::keyword::on, detail::keyword::named>::template check<Ks...>();
        values(*this);
        finish(keywords);
    }
    template <class... Ks>
    static SharedArray map_file_as_told(const std::string& path, const Dims& dims,
                                        const std::tuple<const Ks&...>& keywords) {
        detail::Accepts<Init, detail::keyword::on, detail::keyword::named, detail::keyword::mode,
                        detail::keyword::offset>::template check<Ks...>();
        detail::require_free_array_name(detail::name_among(keywords)); // before anything is done
        runtime::ArrayFile file(detail::file_spec(path, shape_of(dims), alignof(T), keywords));
        const SharedArray array(dims, detail::ArrayStorage::in(file, shape_of(dims),
                                                               detail::participants_among(keywords),
                                                               detail::name_among(keywords)));
        array.finish(keywords);
        file.keep();
        return array;
    }
    // Another handle.
    SharedArray(const Dims& dims, const detail::ArrayStorage& storage) : Access(dims, storage) {}

    template <class... Ks>
    void finish(const std::tuple<const Ks&...>& keywords) const {
        if constexpr (detail::has_keyword<Init, Ks...>)
            everywhere(
                this->procs(),
                [f = detail::among<Init>(keywords).value](SharedArray array) mutable {
                    static_cast<void>(f(array));
                },
                *this);
        if constexpr (detail::has_keyword<detail::keyword::named, Ks...>)
            this->storage().publish(detail::name_among(keywords));
    }
    static detail::ArrayShape shape_of(const Dims& dims) {
        return {dims, detail::elements_of<T>(), runtime::detail::type_name<T>(),
                runtime::detail::type_key<T>()};
    }
};

template <class Derived, detail::Keyword... Ks>
SharedArray(const Eigen::MatrixBase<Derived>&, const Ks&...)
    -> SharedArray<typename Derived::Scalar, Derived::IsVectorAtCompileTime ? 1 : 2>;
template <class U, detail::Keyword... Ks>
SharedArray(const std::vector<U>&, const Ks&...) -> SharedArray<U, 1>;

template <class T>
using SharedVector = SharedArray<T, 1>;
template <class T>
using SharedMatrix = SharedArray<T, 2>;

template <class T, std::size_t N>
SharedArray<T, N> SharedArray<T, N>::deepcopy() const {
    std::vector<WorkerId> alive = detail::alive_among(this->procs());
    SharedArray copy =
        alive.empty() ? SharedArray(this->dims()) : SharedArray(this->dims(), on(std::move(alive)));
    std::copy(this->begin(), this->end(), copy.begin());
    return copy;
}

// What the elements of a SharedArray are for those who do not know arrays of dshm; of anything else,
// itself.
template <class T, std::size_t N>
std::span<T> sdata(const SharedArray<T, N>& array) {
    return array.sdata();
}
template <class Container>
Container& sdata(Container& container) {
    return container;
}

} // namespace dshm
