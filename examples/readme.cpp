// The program of README.md, to the letter below this comment; its output is readme.expected.

#include <dshm/dshm.hpp>

#include <cmath>
#include <cstdio>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv); // from here on worker processes may be started
    dshm::addprocs(2);                 // or start the program with: dshm-run -n 2
    std::printf("process %d answers\n", dshm::fetch_from(3, [] { return dshm::myid(); }));

    long sum = dshm::distributed(std::plus<>{}, dshm::range(0, 1'000'000), [](long i) { return i; });
    std::printf("the sum is %ld\n", sum);

    dshm::SharedArray<double> squares(10);
    dshm::sync([&] {
        dshm::distributed(squares.indices(), [squares](std::size_t i) { squares[i] = double(i * i); });
    });
    std::printf("the last square is %g\n", squares[9]);

    for (double root : dshm::pmap([](double x) { return std::sqrt(x); }, std::vector{1.0, 4.0, 9.0}))
        std::printf("a root is %g\n", root);
}
