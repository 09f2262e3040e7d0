// `pmap`: of a trivial function over 100,000 doubles, where all there is to gain lies in how they travel; and of jobs of 100 µs, where nothing but balance
// counts.
//
// Doubles go from a vector to a new one, as with pmap ("fresh"), or to one that is kept and written again ("kept"), or they lie in shared memory
// beforehand. A new vector of this size costs page faults: it is part of what pmap has to do, so OpenMP's fresh one is what pmap is measured
// against.
#include <dshm/dshm.hpp>

#include "baselines/bare_map.hpp"
#include "baselines/bare_sum.hpp"
#include "baselines/heads.hpp"
#include "baselines/trivial.hpp"
#include "support/comparison.hpp"
#include "support/peers.hpp"

#include <numeric>

namespace {

/// OpenMP and oneTBB, where they are built in.
struct ThreadPeers {
    std::unique_ptr<bench::Coprocess> openmp = bench::start_thread_peer("openmp");
    std::unique_ptr<bench::Coprocess> tbb = bench::start_thread_peer("tbb");
};

/// What all contenders map, and what comes out.
struct Doubles {
    explicit Doubles(std::size_t count) : values(count), expected(count) {
        std::iota(values.begin(), values.end(), 0.0);
        map_into(expected);
    }
    void map_into(std::vector<double>& results) const {
        std::transform(values.begin(), values.end(), results.begin(), bench::twice_plus_one);
    }
    std::vector<double> mapped() const {
        std::vector<double> results(values.size());
        map_into(results);
        return results;
    }

    std::vector<double> values;
    std::vector<double> expected;
};

bench::Batch batch_of_maps(const bench::Program& program) {
    return {program.size(50, 2), std::chrono::milliseconds(program.size(20, 0))};
}

/// Seconds an element. `map` gives a range, of which all is compared once and the ends each time.
template <class Map>
bench::Turn per_element(const Doubles& doubles, bench::Batch batch, Map map) {
    return [&doubles, batch, map]() mutable {
        const auto& expected = doubles.expected;
        const auto once = map();
        bench::require(
            std::equal(expected.begin(), expected.end(), std::begin(once), std::end(once)),
            "wrong result");
        const auto call = [&] {
            const auto mapped = map();
            benchmark::DoNotOptimize(mapped.data());
            bench::require(mapped.front() == expected.front() && mapped.back() == expected.back(),
                           "wrong result");
        };
        return bench::back_to_back(batch, call)() / static_cast<double>(expected.size());
    };
}

constexpr auto twice_plus_one = [](double x) { return bench::twice_plus_one(x); };

void compare_vectors(bench::Program& program, const Doubles& doubles, const ThreadPeers& threads,
                     bench::Coprocess* python, bench::BareMap& bare) {
    const bench::Batch batch = batch_of_maps(program);
    const auto count = static_cast<long>(doubles.values.size());
    const auto elements = static_cast<double>(count);
    const auto ask = [&](bench::Coprocess& peer, const char* name) {
        return bench::asking(peer, bench::thread_question(name, count, program.workers(), batch),
                             elements);
    };
    const auto turn = [&](auto map) { return per_element(doubles, batch, map); };
    auto& map = program.compare("map/100000_doubles").counted_in("elements");
    map.subject("libdshm", turn([&doubles] { return dshm::pmap(twice_plus_one, doubles.values); }),
                1 / 300e6);
    map.peer("bare forks, fresh", turn([&] { return bare.run(doubles.values); }));
    if (threads.openmp) {
        map.peer("OpenMP, fresh", ask(*threads.openmp, "openmp_map"), 0.8);
        map.peer("OpenMP, kept", ask(*threads.openmp, "openmp_map_kept"));
    }
    if (threads.tbb)
        map.peer("oneTBB, fresh", ask(*threads.tbb, "tbb_map"));
    map.peer("serial, fresh", turn([&doubles] { return doubles.mapped(); }));
    map.peer("serial, kept", turn([&doubles, kept = doubles.mapped()]() mutable {
                 doubles.map_into(kept);
                 return std::span<const double>(kept);
             }));
    if (python)
        map.peer(
            "Python pool",
            bench::asking(*python, std::string("map ").append(std::to_string(count)), elements),
            40);
}

/// Elements that lie in shared memory already.
void compare_shared(bench::Program& program, const Doubles& doubles, bench::BareMap& bare) {
    const dshm::SharedVector<double> shared(doubles.values.size());
    std::copy(doubles.values.begin(), doubles.values.end(), shared.begin());
    std::copy(doubles.values.begin(), doubles.values.end(), bare.values().begin());
    const auto turn = [&](auto map) { return per_element(doubles, batch_of_maps(program), map); };
    program.compare("map/100000_shared_doubles")
        .counted_in("elements")
        .subject("libdshm", turn([shared] { return dshm::pmap(twice_plus_one, shared); }))
        .peer("bare forks, results left there", turn([&bare] { return bare.run_in_place(); }))
        .peer("bare forks, fresh", turn([&] { return bare.run(doubles.values); }))
        .peer("serial, fresh", turn([&doubles] { return doubles.mapped(); }));
}

/// Jobs of about 100 µs.
void compare_jobs(bench::Program& program, const ThreadPeers& threads, bench::BareSum& bare,
                  long count) {
    const bench::Batch batch{program.size(2, 1), std::chrono::milliseconds(program.size(60, 0))};
    const long expected = bench::sum_of_jobs(0, count);
    const auto ask = [&](bench::Coprocess& peer, const char* name) {
        return bench::asking(peer, bench::thread_question(name, count, program.workers(), batch));
    };
    std::vector<long> jobs(static_cast<std::size_t>(count));
    std::iota(jobs.begin(), jobs.end(), 0L);
    const auto turn = [=](auto sum) {
        return bench::back_to_back(batch, [=] { bench::require_equal(sum(), expected); });
    };
    auto& map = program.compare("map/400_jobs_of_100_us").rounds(15);
    map.subject("libdshm", turn([jobs] {
                    const auto heads =
                        dshm::pmap([](long job) { return bench::heads_of_job(job); }, jobs);
                    return std::accumulate(heads.begin(), heads.end(), 0L);
                }));
    map.peer("bare forked processes", turn([&bare] { return bare.run(); }), 0.95);
    if (threads.openmp)
        map.peer("OpenMP dynamic", ask(*threads.openmp, "openmp_jobs"));
    if (threads.tbb)
        map.peer("oneTBB", ask(*threads.tbb, "tbb_jobs"));
    map.peer("serial", turn([=] { return bench::sum_of_jobs(0, count); }));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(program.workers());
    const auto python = bench::start_python_pool();
    const ThreadPeers threads;

    const Doubles doubles(program.size<std::size_t>(100'000, 1'000));
    const long jobs = program.size(400L, 8L);
    bench::BareMap bare_map(doubles.values.size(), program.workers(), bench::twice_plus_one);
    bench::BareSum bare_jobs(jobs, program.workers(), bench::sum_of_jobs);
    compare_vectors(program, doubles, threads, python.get(), bare_map);
    compare_shared(program, doubles, bare_map);
    compare_jobs(program, threads, bare_jobs, jobs);
    return program.run();
}
