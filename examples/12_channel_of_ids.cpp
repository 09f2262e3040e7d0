// 12: every worker puts its id into a channel that lives on the master.
//
// Julia: function do_something(rc); put!(rc, myid()); end
//        rc = RemoteChannel(() -> Channel{Int}(nworkers())); @sync for w in workers(); @spawnat w do_something(rc); end

#include <dshm/dshm.hpp>

#include <algorithm>
#include <iostream>

void do_something(const dshm::RemoteChannel<int>& ids) { ids.put(dshm::myid()); }

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const dshm::RemoteChannel<int> ids(static_cast<std::size_t>(dshm::nworkers()));
    std::cout << "it lives on process " << ids.where() << " and has room for " << ids.capacity()
              << '\n';
    for (const dshm::WorkerId worker : dshm::workers())
        dshm::remote_do(do_something, worker, ids);

    std::vector<int> seen;
    for (int i = 0; i < dshm::nworkers(); ++i)
        seen.push_back(ids.take());
    std::sort(seen.begin(), seen.end()); // they come in any order
    for (const int id : seen)
        std::cout << "worker " << id << " was here\n";
    std::cout << "empty again: " << std::boolalpha << ids.isempty() << '\n';
}
