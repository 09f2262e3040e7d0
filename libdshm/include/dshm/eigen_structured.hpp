// Eigen's diagonal and permutation matrices, and the types of its geometry, as arguments, results and
// elements. Comes with eigen.hpp.
//
// Rotations, transforms, boxes and planes of fixed size are their bytes. A permutation is checked on
// arrival: DecodeError. Nothing of Eigen is included here that eigen.hpp does not include: a program
// that uses a type has its header.
#pragma once

#include <cstddef>
#include <type_traits>
#include <vector>

#include "dshm/eigen.hpp"

namespace dshm::ship {

// ---- geometry: coefficients of fixed size, which are their bytes --------------------------------

namespace detail {

template <class S, int Size>
inline constexpr bool fixed_coefficients = Size != Eigen::Dynamic&& Bitwise<S>;

} // namespace detail

template <class S, int O>
struct IsBitwise<Eigen::Quaternion<S, O>> : IsBitwise<S> {};
template <class S>
struct IsBitwise<Eigen::AngleAxis<S>> : IsBitwise<S> {};
template <class S>
struct IsBitwise<Eigen::Rotation2D<S>> : IsBitwise<S> {};
template <class S>
struct IsBitwise<Eigen::UniformScaling<S>> : IsBitwise<S> {};
template <class S, int D>
struct IsBitwise<Eigen::Translation<S, D>> : std::bool_constant<detail::fixed_coefficients<S, D>> {
};
template <class S, int D, int M, int O>
struct IsBitwise<Eigen::Transform<S, D, M, O>>
    : std::bool_constant<detail::fixed_coefficients<S, D>> {};
template <class S, int D>
struct IsBitwise<Eigen::AlignedBox<S, D>> : std::bool_constant<detail::fixed_coefficients<S, D>> {};
template <class S, int D, int O>
struct IsBitwise<Eigen::Hyperplane<S, D, O>>
    : std::bool_constant<detail::fixed_coefficients<S, D>> {};
template <class S, int D, int O>
struct IsBitwise<Eigen::ParametrizedLine<S, D, O>>
    : std::bool_constant<detail::fixed_coefficients<S, D>> {};

// ---- diagonals and permutations: the vector inside ----------------------------------------------

template <class S, int N, int M>
struct Codec<Eigen::DiagonalMatrix<S, N, M>> : detail::NativeCodec<Bitwise<S>> {
    using Diagonal = Eigen::Matrix<S, N, 1, Eigen::ColMajor, M, 1>;

    static void write(auto& sink, const Eigen::DiagonalMatrix<S, N, M>& matrix) {
        Codec<Diagonal>::write(sink, matrix.diagonal());
    }
    static Eigen::DiagonalMatrix<S, N, M> read(auto& source) {
        return Eigen::DiagonalMatrix<S, N, M>(Codec<Diagonal>::read(source));
    }
};

template <int N, int M, class I>
struct Codec<Eigen::PermutationMatrix<N, M, I>> : detail::NativeCodec<Bitwise<I>> {
    using Indices = Eigen::Matrix<I, N, 1, Eigen::ColMajor, M, 1>;

    static void write(auto& sink, const Eigen::PermutationMatrix<N, M, I>& matrix) {
        Codec<Indices>::write(sink, matrix.indices());
    }
    static Eigen::PermutationMatrix<N, M, I> read(auto& source) {
        const Indices indices = Codec<Indices>::read(source);
        std::vector<bool> seen(static_cast<std::size_t>(indices.size()));
        for (const I index : indices) {
            if (index < 0 || index >= indices.size() || seen[static_cast<std::size_t>(index)])
                detail::throw_damaged("a permutation that is none");
            seen[static_cast<std::size_t>(index)] = true;
        }
        return Eigen::PermutationMatrix<N, M, I>(indices);
    }
};

} // namespace dshm::ship
