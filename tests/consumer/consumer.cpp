// A program outside the tree: it knows of libdshm only what is installed.

#include <dshm/dshm.hpp>

#include <cstdio>
#include <functional>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    dshm::addprocs(2);

    long sum = dshm::distributed(std::plus<>{}, dshm::range(0, 101), [](long i) { return i; });
    int worker = dshm::fetch_from(3, [] { return dshm::myid(); });
    std::printf("sum %ld, worker %d\n", sum, worker);
}
