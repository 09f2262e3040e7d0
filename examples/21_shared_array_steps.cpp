// 21: SharedArrays step by step: who initialises which part, loops, operations on all of it, shapes and names.
//
// Julia: S = SharedArray{Int,2}((3, 4), init = S -> S[localindices(S)] = repeat([myid()], length(localindices(S))))
// Julia: @sync @distributed for i in eachindex(S); S[i] = S[i]^2; end; reduce(+, S); fill!(S, 1); reshape(S, 12)

#include <dshm/dshm.hpp>

#include <cmath>
#include <cstddef>
#include <exception>
#include <functional>
#include <iostream>

namespace {

/// Prints what the function throws.
template <class Function>
void try_it(Function function) {
    try {
        function();
    } catch (const std::exception& error) {
        std::cout << error.what() << '\n';
    }
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    // The participants run `init` at the same time, each with the same array. A part is localindices...
    const dshm::SharedMatrix<int> S(3, 4, dshm::init([](const dshm::SharedMatrix<int>& array) {
                                        for (const long i : array.localindices())
                                            array[static_cast<std::size_t>(i)] = dshm::myid();
                                    }));
    std::cout << "who has which part\n" << S.matrix() << '\n';

    // ... or whatever else the place among the participants says: here every second element.
    const dshm::SharedMatrix<int> striped(
        3, 4, dshm::init([](const dshm::SharedMatrix<int>& array) {
            for (auto i = static_cast<std::size_t>(array.indexpids()); i < array.size();
                 i += array.procs().size())
                array[i] = dshm::myid();
        }));
    std::cout << "in turns\n" << striped.matrix() << '\n';
    std::cout << "process 1 has place " << S.indexpids() << " and " << S.localindices().size()
              << " elements of its own\n";

    // One memory: what a worker writes is what everybody reads.
    dshm::fetch_from(dshm::workers().back(), [S] { S(2, 1) = 7; });
    std::cout << "S(2, 1) = " << S(2, 1) << ", the same as S[" << 2 + 3 * 1 << "] = " << S[5]
              << '\n';

    // A loop over all indices, and what is done to all of it.
    dshm::sync([&] { dshm::distributed(S.indices(), [S](std::size_t i) { S[i] = S[i] * S[i]; }); });
    std::cout << "squares\n" << S.matrix() << '\n';
    std::cout << "their sum " << dshm::reduce(std::plus<>{}, S) << ", the largest "
              << dshm::reduce([](int a, int b) { return a > b ? a : b; }, S) << '\n';

    const auto copy = S.deepcopy(); // memory of its own
    dshm::fill(S, 1);
    dshm::map_inplace([](int one, int square) { return one + square; }, S, S, copy);
    std::cout << "1 + squares\n" << S.matrix() << '\n';

    // The same memory as a vector, or as three dimensions.
    const auto row = S.reshape<1>(12);
    const auto box = S.reshape<3>({2, 3, 2});
    row[11] = -1;
    std::cout << "the last element by three names: " << S(2, 3) << ' ' << row[11] << ' '
              << box(1, 2, 1) << '\n';
    try_it([&] { S.reshape<2>({5, 2}); });

    // All of them change one element: only atomically.
    const dshm::SharedVector<long> hits(1);
    dshm::sync([&] {
        dshm::distributed(dshm::range(0, 1000), [hits](long) { hits.atomic(0).fetch_add(1); });
    });
    std::cout << hits[0] << " hits\n";

    // Random numbers do not depend on who draws them.
    const dshm::SharedVector<double> uniform(100'000);
    dshm::rand(uniform);
    const double mean = dshm::reduce(std::plus<>{}, uniform) / static_cast<double>(uniform.size());
    std::cout << "mean of random numbers " << std::round(100 * mean) / 100 << '\n';

    // By name, from any process.
    const dshm::SharedVector<double> shelf(3, dshm::named("shelf"));
    dshm::fetch_from(dshm::workers().front(),
                     [] { dshm::SharedVector<double>::open("shelf")[1] = 2.5; });
    std::cout << "on the shelf: " << shelf[0] << ' ' << shelf[1] << ' ' << shelf[2] << '\n';

    // `at` is checked. Whoever closes the array closes it for all.
    try_it([&] { shelf.at(3); });
    const auto other = shelf;
    other.close();
    try_it([&] { shelf.at(1); });
}
