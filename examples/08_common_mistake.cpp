// 08: the common mistake with a captured variable, and the way out.
//
// Julia: a = zeros(10); @distributed for i = 1:10; a[i] = i; end
//
// Every worker has a copy of its own of what is captured. What the body assigns to it is lost; memory that all
// processes share is a SharedArray. (A capture by reference does not even compile.)

#include <dshm/dshm.hpp>

#include <array>
#include <cstddef>
#include <functional>
#include <iostream>
#include <numeric>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    std::array<int, 10> copied{};
    dshm::sync([&] {
        dshm::distributed(dshm::range(0, 10), [copied](std::ptrdiff_t i) mutable {
            copied[i] = static_cast<int>(i); // into the worker's copy
        });
    });
    std::cout << "sum of the array, as the master sees it: "
              << std::accumulate(copied.begin(), copied.end(), 0) << '\n';

    const dshm::SharedArray<int> shared(10);
    dshm::sync([&] {
        dshm::distributed(dshm::range(0, 10), [shared](std::ptrdiff_t i) {
            shared[i] = static_cast<int>(i); // into memory of all
        });
    });
    std::cout << "sum of the SharedArray: " << std::accumulate(shared.begin(), shared.end(), 0)
              << '\n';

    // Where only a sum is wanted, an operator gives it without any shared memory.
    std::cout << "sum by an operator: "
              << dshm::distributed(std::plus<>{}, dshm::range(0, 10),
                                   [](std::ptrdiff_t i) { return i; })
              << '\n';
}
