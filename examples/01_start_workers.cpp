// 01: start workers, see who is there, and let one go.
//
// Julia: addprocs(2); nprocs(); procs(); workers(); myid(); rmprocs(3)

#include <dshm/dshm.hpp>

#include <iostream>
#include <vector>

namespace {

void print_processes(const char* when) {
    std::cout << when << ": " << dshm::nprocs() << " processes,";
    for (const dshm::WorkerId id : dshm::procs())
        std::cout << ' ' << id;
    std::cout << "; " << dshm::nworkers() << " workers,";
    for (const dshm::WorkerId id : dshm::workers())
        std::cout << ' ' << id;
    std::cout << '\n';
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    std::cout << "I am process " << dshm::myid() << '\n';
    print_processes("alone"); // a master without workers counts as its own worker

    const std::vector<dshm::WorkerId> added = dshm::addprocs(2);
    std::cout << "added " << added.at(0) << " and " << added.at(1) << '\n';
    print_processes("with two");

    dshm::rmprocs(3);
    print_processes("without 3");

    std::cout << "added " << dshm::addprocs(1).at(0) << ", for ids are never used again\n";
    print_processes("at the end");
} // leaving main ends the workers
