// 03: which worker did the work?
//
// Julia: fetch(@spawnat 2 myid()); [fetch(@spawn myid()) for i = 1:10]

#include <dshm/dshm.hpp>

#include <algorithm>
#include <iostream>
#include <vector>

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const auto who = [] { return dshm::myid(); };

    // spawn_at names the process; process 1 takes work as well.
    for (const dshm::WorkerId id : dshm::procs())
        std::cout << "sent to " << id << ", done by " << dshm::fetch_from(id, who) << '\n';

    // spawn takes an idle worker, so the answer may differ from run to run.
    std::vector<dshm::Future<dshm::WorkerId>> futures;
    for (int i = 0; i < 10; ++i)
        futures.push_back(dshm::spawn(who));

    const std::vector<dshm::WorkerId> workers = dshm::workers();
    const bool all_workers = std::all_of(futures.begin(), futures.end(), [&](const auto& future) {
        return std::binary_search(workers.begin(), workers.end(), future.fetch());
    });
    std::cout << futures.size() << " tasks, each done by a worker: " << (all_workers ? "yes" : "no")
              << '\n';
}
