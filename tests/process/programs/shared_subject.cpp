// What lies in shared memory and in files, used by workers that are fresh processes. Ends with 0 if all
// of it holds. Its argument is a directory.

#include <dshm/dshm.hpp>
#include <dshm/segment_ptr.hpp>

#include <boost/container/map.hpp>
#include <boost/interprocess/containers/vector.hpp>

#include <cstdio>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Ints = boost::interprocess::vector<int, dshm::Allocator<int>>;
using Map =
    boost::container::map<int, int, std::less<int>, dshm::Allocator<std::pair<const int, int>>>;
using Queue = std::vector<int, dshm::Allocator<int>>;
using Names = std::pmr::map<int, std::pmr::string>;

void demand(bool holds, const char* what) {
    if (!holds)
        throw std::runtime_error(what);
}

void containers() {
    const auto ints = dshm::construct<Ints>();
    const auto map = dshm::construct<Map>();
    const auto queue = dshm::construct<Queue>();
    const auto names = dshm::construct<Names>();
    names->emplace(1, "a name that is long enough for a block of its own");
    dshm::fetch_from(2, [=] {
        for (int i = 0; i < 1000; ++i) {
            ints->push_back(i);
            queue->push_back(i);
            (*map)[i] = i;
        }
    });
    const long sum = dshm::fetch_from(3, [=] {
        return std::accumulate(ints->begin(), ints->end(), 0L) + map->at(999) + queue->back();
    });
    demand(sum == 499'500 + 2 * 999, "the sum over what another worker has filled");
    const bool same = dshm::fetch_from(3, [] { return dshm::segment_at_masters_address(); });
    demand(!same ||
               dshm::fetch_from(3, [names] { return names->at(1).size(); }) == names->at(1).size(),
           "a standard map, read where the segment has the same address");
    std::printf("%s\n", same ? "same address" : "another address");
    dshm::fetch_from(3, [=] { dshm::destroy(ints); });
    dshm::destroy(map);
    dshm::destroy(queue);
    dshm::destroy(names);
}

void files(const std::string& directory) {
    using Vector = dshm::SharedVector<double>;
    const auto array = Vector::map_file(directory + "/array", 1000, dshm::offset(24),
                                        dshm::init([](const Vector& all) {
                                            for (const auto i : all.localindices())
                                                all[static_cast<std::size_t>(i)] = dshm::myid();
                                        }));
    demand(array[0] == 2 && array[999] == 3, "the parts that two workers have written");
    const auto mine = dshm::fetch_from(
        2,
        [](const std::string& path) {
            return Vector::map_file(path, 500, dshm::offset(24), dshm::mode("r"));
        },
        directory + "/array");
    demand(mine[0] == 2, "an array that a worker has made");
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    dshm::AddprocsOptions fresh;
    fresh.start = dshm::Start::exec;
    dshm::addprocs(2, fresh);
    containers();
    files(argv[1]);
    return 0;
}
