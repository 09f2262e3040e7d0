// Eigen matrices, vectors and arrays as arguments, results and elements. Only this header includes
// Eigen.
//
//     spawn([](const Eigen::MatrixXd& m) { ... }, matrix);             // builds a matrix there
//     spawn([](Eigen::Map<const Eigen::MatrixXd> m) { ... }, matrix);  // reads it in shared memory
//
// Dense matrices and arrays of trivially copyable scalars cross by one memcpy: fixed, dynamic and
// bounded sizes, column- and row-major, also inside containers and types with cereal functions.
// Expressions, blocks and maps are evaluated once, straight into the block, and arrive as plain
// matrices. Sparse matrices are in eigen_sparse.hpp, transforms and the like in
// eigen_structured.hpp; this header includes both. `Eigen::Map<const M>` and `Eigen::Ref<const M>` parameters read a matrix of type M
// where it lies; what they show lives as long as the call. Received sizes are checked: DecodeError.
#pragma once

#include <cstddef>
#include <cstring>
#include <type_traits>

#include <Eigen/Core>

#include "dshm/ship/codec.hpp"
#include "dshm/ship/parameters.hpp"

namespace dshm::ship {

namespace detail {

// Matrix and Array themselves.
template <class T>
inline constexpr bool is_plain_eigen = false;
template <class S, int R, int C, int O, int MR, int MC>
inline constexpr bool is_plain_eigen<Eigen::Matrix<S, R, C, O, MR, MC>> = true;
template <class S, int R, int C, int O, int MR, int MC>
inline constexpr bool is_plain_eigen<Eigen::Array<S, R, C, O, MR, MC>> = true;

template <class T>
concept PlainEigen = is_plain_eigen<T> && Bitwise<typename T::Scalar>;

// Everything else that can be evaluated to one of them: maps, references, blocks, sums, products.
template <class T>
concept EigenExpression =
    std::is_class_v<T> && std::is_base_of_v<Eigen::DenseBase<T>, T> && !is_plain_eigen<T> &&
    Bitwise<typename T::Scalar>;

template <class M>
inline constexpr bool fixed_size = M::SizeAtCompileTime != Eigen::Dynamic;

// Sizes are written only where the type does not tell them.
template <class M>
void write_sizes(Writer& writer, Eigen::Index rows, Eigen::Index columns) {
    if constexpr (!fixed_size<M>) {
        write_plain(writer, rows);
        write_plain(writer, columns);
    }
}

template <class M>
struct EigenImage {
    Eigen::Index rows;
    Eigen::Index columns;
    const typename M::Scalar* data;
};

template <class M>
bool sizes_possible(Eigen::Index rows, Eigen::Index columns) {
    const auto fits = [](Eigen::Index size, int exact, int most) {
        return size >= 0 && (exact == Eigen::Dynamic || size == exact) &&
               (most == Eigen::Dynamic || size <= most);
    };
    return fits(rows, M::RowsAtCompileTime, M::MaxRowsAtCompileTime) &&
           fits(columns, M::ColsAtCompileTime, M::MaxColsAtCompileTime);
}

// The matrix where it lies, with every size checked.
template <class M>
EigenImage<M> read_image(Reader& reader) {
    Eigen::Index rows = M::RowsAtCompileTime;
    Eigen::Index columns = M::ColsAtCompileTime;
    if constexpr (!fixed_size<M>) {
        rows = read_plain<Eigen::Index>(reader);
        columns = read_plain<Eigen::Index>(reader);
        if (!sizes_possible<M>(rows, columns))
            throw_damaged("a matrix of impossible size");
    }
    std::size_t count;
    if (__builtin_mul_overflow(static_cast<std::size_t>(rows), static_cast<std::size_t>(columns),
                               &count))
        throw_damaged("a matrix too large for any memory");
    return {rows, columns, read_elements<typename M::Scalar>(reader, count).data()};
}

template <class M>
M read_matrix(Reader& reader) {
    const EigenImage<M> image = read_image<M>(reader);
    M matrix;
    matrix.resize(image.rows, image.columns);
    if (matrix.size() != 0)
        std::memcpy(static_cast<void*>(matrix.data()), image.data,
                    static_cast<std::size_t>(matrix.size()) * sizeof(typename M::Scalar));
    return matrix;
}

} // namespace detail

// A fixed size makes a matrix its bytes: vectors of small vectors are one memcpy.
template <class S, int R, int C, int O, int MR, int MC>
struct IsBitwise<Eigen::Matrix<S, R, C, O, MR, MC>>
    : std::bool_constant<R != Eigen::Dynamic && C != Eigen::Dynamic && Bitwise<S>> {};
template <class S, int R, int C, int O, int MR, int MC>
struct IsBitwise<Eigen::Array<S, R, C, O, MR, MC>>
    : std::bool_constant<R != Eigen::Dynamic && C != Eigen::Dynamic && Bitwise<S>> {};
// These are copied as a whole or look elsewhere; their bytes never do.
template <detail::EigenExpression T>
struct IsBitwise<T> : std::false_type {};

namespace detail {

template <class M>
struct PlainEigenCodec : NativeCodec<PlainEigen<M>> {
    static void write(auto& sink, const M& matrix) {
        Writer& writer = bytes_of(sink);
        write_sizes<M>(writer, matrix.rows(), matrix.cols());
        write_elements(writer, matrix.data(), static_cast<std::size_t>(matrix.size()));
    }
    static M read(auto& source) { return read_matrix<M>(bytes_of(source)); }
};

} // namespace detail

template <class S, int R, int C, int O, int MR, int MC>
struct Codec<Eigen::Matrix<S, R, C, O, MR, MC>>
    : detail::PlainEigenCodec<Eigen::Matrix<S, R, C, O, MR, MC>> {};
template <class S, int R, int C, int O, int MR, int MC>
struct Codec<Eigen::Array<S, R, C, O, MR, MC>>
    : detail::PlainEigenCodec<Eigen::Array<S, R, C, O, MR, MC>> {};

// Written as the plain matrix that it evaluates to; only a Map of const can be read.
template <detail::EigenExpression T>
struct Codec<T> : detail::NativeCodec<true> {
    using Plain = typename T::PlainObject;
    using Scalar = typename T::Scalar;
    static constexpr bool write_only = true;

    static void write(auto& sink, const T& expression) {
        Writer& writer = detail::bytes_of(sink);
        detail::write_sizes<Plain>(writer, expression.rows(), expression.cols());
        const std::size_t bytes = static_cast<std::size_t>(expression.size()) * sizeof(Scalar);
        if (std::byte* target =
                writer.reserve(bytes, detail::run_alignment(alignof(Scalar), bytes)))
            assign(Eigen::Map<Plain>(reinterpret_cast<Scalar*>(target), expression.rows(),
                                     expression.cols()),
                   expression);
    }

    // In place. Eigen gives Map a fixed alignment only where the type asks for it, which a block
    // cannot promise.
    static T read(auto& source) requires requires(const Scalar* data) { T(data, 0, 0); }
    {
        static_assert(std::is_same_v<T, Eigen::Map<const Plain>>,
                      "dshm: an Eigen::Map parameter must be an Eigen::Map<const M> without "
                      "alignment or strides.");
        const auto image = detail::read_image<Plain>(detail::bytes_of(source));
        return T(image.data, image.rows, image.columns);
    }

private:
    static void assign(Eigen::Map<Plain> target, const T& expression) {
        if constexpr (std::is_base_of_v<Eigen::MatrixBase<T>, T>)
            target.noalias() = expression; // fresh memory, so it cannot be an operand
        else
            target = expression;
    }
};

template <detail::EigenExpression T>
struct Wire<T> {
    using type = typename T::PlainObject;
};

template <detail::PlainEigen M>
struct Received<Eigen::Map<const M>, M> {
    using type = Eigen::Map<const M>;
};
template <detail::PlainEigen M>
struct Received<Eigen::Ref<const M>, M> {
    using type = Eigen::Map<const M>;
};

} // namespace dshm::ship

#include "dshm/eigen_sparse.hpp"
#include "dshm/eigen_structured.hpp"
