// 09: square the elements of a SharedArray.
//
// Julia: S = SharedArray{Float64}(10, 10); @sync @distributed for i in eachindex(S); S[i] = S[i]^2; end

#include <dshm/dshm.hpp>

#include <cstddef>
#include <iostream>
#include <numeric>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::SharedArray<double, 2> S({10, 10});
    std::iota(S.begin(), S.end(), 0.0); // down the columns

    dshm::sync([&] { dshm::distributed(S.indices(), [S](std::size_t i) { S[i] = S[i] * S[i]; }); });

    // The same memory as a matrix of Eigen, without a copy.
    std::cout << "upper left corner\n" << S.matrix().topLeftCorner(3, 3) << '\n';
    std::cout << "S(9, 9) = " << S(9, 9) << ", sum = " << S.matrix().sum() << '\n';
}
