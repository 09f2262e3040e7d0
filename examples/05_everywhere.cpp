// 05: run something on every process, this one included.
//
// Julia: @everywhere println("hello from process ", myid()); @everywhere scale = 10
//
// Workers are started from the program as it was at `Session`: they have its functions, and what has
// been assigned to a global variable before. Later assignments are each process's own.

#include <dshm/dshm.hpp>

#include <iostream>

namespace {

int scale = 1;

int scaled(int x) { return scale * x; }

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    scale = 10; // here only
    std::cout << "master " << scaled(7) << ", worker 2 " << dshm::fetch_from(2, scaled, 7) << '\n';

    dshm::everywhere([](int value) { scale = value; }, 100);
    std::cout << "master " << scaled(7) << ", worker 2 " << dshm::fetch_from(2, scaled, 7)
              << ", worker 3 " << dshm::fetch_from(3, scaled, 7) << std::endl;

    // What workers print is shown line by line, with their number in front.
    dshm::everywhere([] { std::cout << "hello from process " << dshm::myid() << std::endl; });
}
