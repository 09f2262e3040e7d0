// 16: random numbers that do not depend on who draws them.
//
// Julia: @distributed (+) for i = 1:n; Int(rand(Bool)); end     (another number on each run)
//
// `task_rng()` draws from a stream that is fixed by the seed of the session, by which loop or map of the program
// this is, and by the index: neither by the number of workers nor by the schedule. Run it as often as you like,
// alone or under `dshm-run -n 7`: the counts are those of the file beside it.

#include <dshm/dshm.hpp>

#include <cstddef>
#include <cstdio>
#include <functional>
#include <vector>

namespace {

constexpr std::ptrdiff_t throws = 1'000'000;

bool head() { return dshm::task_rng()() & 1; }

/// A number in [0, 1). The distributions of the standard library differ from one library to another.
double uniform() { return static_cast<double>(dshm::task_rng()() >> 11) * 0x1p-53; }

bool hits_the_quarter_circle() {
    const double x = uniform();
    const double y = uniform();
    return x * x + y * y < 1;
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv, {.seed = 2024});
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);

    const auto tosses = dshm::range(0, throws);
    const auto toss = [](std::ptrdiff_t) { return head(); };
    std::printf("heads, shared evenly: %d\n", dshm::distributed(std::plus<>{}, tosses, toss));
    std::printf("heads, to whoever is free: %d\n",
                dshm::distributed(std::plus<>{}, tosses, toss,
                                  dshm::schedule(dshm::Schedule::dynamic), dshm::chunk(1000)));

    const int darts = dshm::distributed(
        std::plus<>{}, tosses, [](std::ptrdiff_t) { return hits_the_quarter_circle(); },
        dshm::schedule(dshm::Schedule::guided));
    std::printf("pi is about %.4f\n", 4.0 * darts / throws);

    // An element of a map has a stream of its own as well, and may draw as often as it likes.
    const std::vector<int> lengths{5, 50, 500, 5000};
    const std::vector<int> heads = dshm::pmap(
        [](int length) {
            int count = 0;
            for (int i = 0; i < length; ++i)
                count += head();
            return count;
        },
        lengths);
    for (std::size_t i = 0; i < heads.size(); ++i)
        std::printf("%d of %d\n", heads[i], lengths[i]);
}
