// Eigen's sparse matrices and vectors as arguments, results and elements. Comes with eigen.hpp.
//
//     spawn([](const Eigen::SparseMatrix<double>& m) { ... }, matrix);             // builds one there
//     spawn([](Eigen::Map<const Eigen::SparseMatrix<double>> m) { ... }, matrix);  // reads it in place
//
// A sparse matrix is three runs: where each column (row, if row-major) starts, the inner indices,
// and the values. It arrives compressed. Everything that Eigen would take for an address is checked
// on arrival: DecodeError. Sparse expressions are evaluated once and arrive as plain matrices.
// Nothing of Eigen is included here that eigen.hpp does not include: a program that uses a type has
// its header.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "dshm/eigen.hpp"

namespace Eigen {
template <class S, int O, class I>
class SparseMatrix;
template <class S, int O, class I>
class SparseVector;
} // namespace Eigen

namespace dshm::ship {

namespace detail {

// A sparse matrix where it lies, checked.
template <class S, class I>
struct SparseImage {
    Eigen::Index rows;
    Eigen::Index columns;
    std::span<const I> starts; // of the inner vectors, and the end of the last; of a vector: {}
    std::span<const I> inner;
    std::span<const S> values;
};

template <class I>
bool rising(std::span<const I> starts, std::size_t end) {
    return starts.front() == 0 && static_cast<std::size_t>(starts.back()) == end &&
           std::is_sorted(starts.begin(), starts.end());
}

template <class I>
bool all_below(std::span<const I> indices, Eigen::Index size) {
    return std::all_of(indices.begin(), indices.end(),
                       [size](I index) { return index >= 0 && index < size; });
}

template <class S, class I>
SparseImage<S, I> read_sparse(Reader& reader, bool row_major, bool vector) {
    SparseImage<S, I> image;
    image.rows = read_plain<Eigen::Index>(reader);
    image.columns = read_plain<Eigen::Index>(reader);
    if (image.rows < 0 || image.columns < 0)
        throw_damaged("a sparse matrix of impossible size");
    if (!vector)
        image.starts = read_run<I>(reader);
    image.inner = read_run<I>(reader);
    image.values = read_elements<S>(reader, image.inner.size());
    const Eigen::Index outer_size = row_major ? image.rows : image.columns;
    const Eigen::Index inner_size = row_major ? image.columns : image.rows;
    const bool starts_fit =
        vector ? outer_size == 1
               : !image.starts.empty() &&
                     image.starts.size() - 1 == static_cast<std::size_t>(outer_size) &&
                     rising(image.starts, image.inner.size());
    if (!starts_fit || inner_size > static_cast<Eigen::Index>(std::numeric_limits<I>::max()) ||
        !all_below(image.inner, inner_size))
        throw_damaged("a sparse matrix whose indices do not fit together");
    return image;
}

// The run of all inner vectors, one after another, whatever lies between them.
template <class Sparse, class T>
void write_inner_vectors(Writer& writer, const Sparse& matrix, const T* data, std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    auto* target = reinterpret_cast<T*>(writer.reserve(bytes, run_alignment(alignof(T), bytes)));
    if (target == nullptr)
        return;
    for (Eigen::Index j = 0; j < matrix.outerSize(); ++j)
        target = std::copy_n(data + matrix.outerIndexPtr()[j], matrix.innerNonZeroPtr()[j], target);
}

template <class I, class Sparse>
void write_starts(Writer& writer, const Sparse& matrix) {
    std::vector<I> starts(1, 0);
    starts.reserve(static_cast<std::size_t>(matrix.outerSize()) + 1);
    for (Eigen::Index j = 0; j < matrix.outerSize(); ++j)
        starts.push_back(static_cast<I>(starts.back() + matrix.innerNonZeroPtr()[j]));
    write_run(writer, starts.data(), starts.size());
}

} // namespace detail

template <class S, int O, class I>
struct Codec<Eigen::SparseMatrix<S, O, I>> : detail::NativeCodec<Bitwise<S>> {
    using Matrix = Eigen::SparseMatrix<S, O, I>;

    static void write(auto& sink, const Matrix& matrix) {
        Writer& writer = detail::bytes_of(sink);
        detail::write_plain(writer, Eigen::Index(matrix.rows()));
        detail::write_plain(writer, Eigen::Index(matrix.cols()));
        const auto count = static_cast<std::size_t>(matrix.nonZeros());
        if (matrix.isCompressed()) {
            detail::write_run(writer, matrix.outerIndexPtr(),
                              static_cast<std::size_t>(matrix.outerSize()) + 1);
            detail::write_run(writer, matrix.innerIndexPtr(), count);
            detail::write_elements(writer, matrix.valuePtr(), count);
        } else {
            detail::write_starts<I>(writer, matrix);
            detail::write_plain(writer, count);
            detail::write_inner_vectors(writer, matrix, matrix.innerIndexPtr(), count);
            detail::write_inner_vectors(writer, matrix, matrix.valuePtr(), count);
        }
    }
    static Matrix read(auto& source) {
        const auto image =
            detail::read_sparse<S, I>(detail::bytes_of(source), Matrix::IsRowMajor, false);
        Matrix matrix(image.rows, image.columns);
        matrix.resizeNonZeros(static_cast<Eigen::Index>(image.inner.size()));
        std::copy(image.starts.begin(), image.starts.end(), matrix.outerIndexPtr());
        std::copy(image.inner.begin(), image.inner.end(), matrix.innerIndexPtr());
        std::copy(image.values.begin(), image.values.end(), matrix.valuePtr());
        return matrix;
    }
};

template <class S, int O, class I>
struct Codec<Eigen::SparseVector<S, O, I>> : detail::NativeCodec<Bitwise<S>> {
    using Vector = Eigen::SparseVector<S, O, I>;

    static void write(auto& sink, const Vector& vector) {
        Writer& writer = detail::bytes_of(sink);
        detail::write_plain(writer, Eigen::Index(vector.rows()));
        detail::write_plain(writer, Eigen::Index(vector.cols()));
        const auto count = static_cast<std::size_t>(vector.nonZeros());
        detail::write_run(writer, vector.innerIndexPtr(), count);
        detail::write_elements(writer, vector.valuePtr(), count);
    }
    static Vector read(auto& source) {
        const auto image =
            detail::read_sparse<S, I>(detail::bytes_of(source), !Vector::IsColVector, true);
        Vector vector(image.rows * image.columns); // one of them is 1
        vector.resizeNonZeros(static_cast<Eigen::Index>(image.inner.size()));
        std::copy(image.inner.begin(), image.inner.end(), vector.innerIndexPtr());
        std::copy(image.values.begin(), image.values.end(), vector.valuePtr());
        return vector;
    }
};

// ---- what evaluates to one ----------------------------------------------------------------------

namespace detail {

template <class T>
inline constexpr bool is_plain_sparse = false;
template <class S, int O, class I>
inline constexpr bool is_plain_sparse<Eigen::SparseMatrix<S, O, I>> = true;
template <class S, int O, class I>
inline constexpr bool is_plain_sparse<Eigen::SparseVector<S, O, I>> = true;

template <class T>
concept SparseExpression =
    std::is_class_v<T> && std::is_base_of_v<Eigen::SparseMatrixBase<T>, T> && !is_plain_sparse<T>;

} // namespace detail

// Written as the plain matrix; a Map of const is read in place.
template <detail::SparseExpression T>
struct Codec<T> : detail::NativeCodec<Bitwise<typename T::Scalar>> {
    using Plain = typename T::PlainObject;
    static constexpr bool write_only = true;

    static void write(auto& sink, const T& expression) {
        Codec<Plain>::write(sink, Plain(expression));
    }
    static T read(auto& source) requires std::same_as<T, Eigen::Map<const Plain>> {
        const auto image = detail::read_sparse<typename T::Scalar, typename T::StorageIndex>(
            detail::bytes_of(source), Plain::IsRowMajor, false);
        return T(image.rows, image.columns, static_cast<Eigen::Index>(image.inner.size()),
                 image.starts.data(), image.inner.data(), image.values.data());
    }
};

template <detail::SparseExpression T>
struct IsBitwise<T> : std::false_type {};
template <detail::SparseExpression T>
struct Wire<T> {
    using type = typename T::PlainObject;
};
template <class S, int O, class I>
struct Received<Eigen::Map<const Eigen::SparseMatrix<S, O, I>>, Eigen::SparseMatrix<S, O, I>> {
    using type = Eigen::Map<const Eigen::SparseMatrix<S, O, I>>;
};

} // namespace dshm::ship
