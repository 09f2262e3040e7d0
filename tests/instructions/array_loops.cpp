// Loops over SharedArrays, each after the loop over raw pointers whose instructions it must have.
//
// Never run: instructions.py compiles it to assembly and compares raw_NAME with every NAME_... that follows it.

#include <dshm/dshm.hpp>

#include <cstddef>
#include <utility>

using dshm::SharedArray;

// ---- squares, by index ---------------------------------------------------------------------------

extern "C" void raw_squares(double* S, std::ptrdiff_t first, std::ptrdiff_t last) {
    for (std::ptrdiff_t i = first; i < last; ++i)
        S[i] = S[i] * S[i];
}

extern "C" void squares_by_reference(const SharedArray<double>& S) {
    for (std::size_t i = 0; i < S.size(); ++i)
        S[i] = S[i] * S[i];
}

extern "C" void squares_of_a_copy(SharedArray<double> S) {
    for (std::size_t i = 0; i < S.size(); ++i)
        S[i] = S[i] * S[i];
}

extern "C" void squares_over_indices(const SharedArray<double>& S) {
    for (const std::ptrdiff_t i : S.indices())
        S[static_cast<std::size_t>(i)] =
            S[static_cast<std::size_t>(i)] * S[static_cast<std::size_t>(i)];
}

// What `distributed(S.indices(), [S](std::size_t i) { ... })` runs on a worker.
inline auto squaring(const SharedArray<double>& S) {
    return [S](std::size_t i) { S[i] = S[i] * S[i]; };
}
using Squares =
    dshm::detail::RunPart<decltype(squaring(std::declval<SharedArray<double>>())), dshm::Range>;

extern "C" void squares_captured_in_a_loop(Squares& loop, std::uint64_t stream,
                                           const dshm::Range& part) {
    loop(stream, 0, part);
}

// ---- squares, by element -------------------------------------------------------------------------

extern "C" void raw_elements(double* first, double* last) {
    for (; first != last; ++first)
        *first = *first * *first;
}

extern "C" void elements_from_begin_to_end(const SharedArray<double>& S) {
    for (double& x : S)
        x = x * x;
}

extern "C" void elements_of_the_span(const SharedArray<double>& S) {
    for (double& x : S.span())
        x = x * x;
}

// ---- squares, by row and column -------------------------------------------------------------------

extern "C" void raw_columns(double* S, std::size_t rows, std::size_t columns) {
    for (std::size_t j = 0; j < columns; ++j)
        for (std::size_t i = 0; i < rows; ++i)
            S[j * rows + i] = S[j * rows + i] * S[j * rows + i];
}

extern "C" void columns_by_reference(const SharedArray<double, 2>& S) {
    for (std::size_t j = 0; j < S.dims()[1]; ++j)
        for (std::size_t i = 0; i < S.dims()[0]; ++i)
            S(i, j) = S(i, j) * S(i, j);
}

inline auto squaring_columns(const SharedArray<double, 2>& S) {
    return [S](std::size_t i, std::size_t j) { S(i, j) = S(i, j) * S(i, j); };
}
using Columns =
    dshm::detail::RunPart<decltype(squaring_columns(std::declval<SharedArray<double, 2>>())),
                          dshm::Range2>;

extern "C" void columns_captured_in_a_loop(Columns& loop, std::uint64_t stream,
                                           const dshm::Range2& part) {
    loop(stream, 0, part);
}
