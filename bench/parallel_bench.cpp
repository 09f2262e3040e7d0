// The algorithms of dshm::parallel against those of std, and against their parallel forms where oneTBB is installed:
// a sort, a transformation and a sum of doubles.
#include <dshm/dshm.hpp>
#include <dshm/parallel.hpp>

#include "support/comparison.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#ifdef BENCH_HAVE_TBB
#include "baselines/onetbb.hpp"
#include <execution>
#endif

namespace {

using Array = dshm::SharedVector<double>;

std::vector<double> random_doubles(std::size_t count) {
    std::mt19937_64 random(1);
    std::vector<double> values(count);
    for (double& value : values)
        value = std::uniform_real_distribution<>(-1, 1)(random);
    return values;
}

double image(double x) { return std::sqrt(x * x + 1); }

/// Seconds of one sort; the values are made anew before and checked after.
template <class Sort>
bench::Turn sorting(const std::vector<double>& values, double* place, Sort sort) {
    return [=, &values] {
        std::copy(values.begin(), values.end(), place);
        const double seconds = bench::seconds_of([&] { sort(place, place + values.size()); });
        bench::require(std::is_sorted(place, place + values.size()), "not sorted");
        return seconds;
    };
}

template <class Transform>
bench::Turn transforming(const std::vector<double>& values, double* place, Transform transform) {
    return [=, &values] {
        std::fill(place, place + values.size(), 0.0);
        const double seconds = bench::seconds_of([&] { transform(); });
        for (std::size_t i = 0; i < values.size(); ++i)
            bench::require(place[i] == image(values[i]), "wrong image");
        return seconds;
    };
}

template <class Sum>
bench::Turn summing(double expected, Sum sum) {
    return [=] {
        double total = 0;
        const double seconds = bench::seconds_of([&] { total = sum(); });
        bench::require(std::abs(total - expected) < 1e-6 * std::abs(expected) + 1e-3, "wrong sum");
        return seconds;
    };
}

struct Data {
    explicit Data(std::size_t count)
        : values(random_doubles(count)), mine(count), from(count), to(count) {
        std::copy(values.begin(), values.end(), from.begin());
    }
    std::vector<double> values, mine;
    Array from, to;
};

void compare_sorts(bench::Program& program, Data& data) {
    auto& sorts = program.compare("parallel/sort").rounds(11);
    sorts.subject("libdshm", sorting(data.values, data.to.data(),
                                     [](double* a, double* b) { dshm::parallel::sort(a, b); }));
    sorts.peer("std::sort", sorting(data.values, data.mine.data(),
                                    [](double* a, double* b) { std::sort(a, b); }));
#ifdef BENCH_HAVE_TBB
    const int threads = program.workers();
    sorts.peer("std::sort, par", sorting(data.values, data.mine.data(), [=](double* a, double* b) {
                   const bench::TbbThreads limit(threads);
                   std::sort(std::execution::par, a, b);
               }));
#endif
}

void compare_transforms(bench::Program& program, Data& data) {
    const std::size_t count = data.values.size();
    auto& transforms = program.compare("parallel/transform").rounds(21);
    transforms.subject("libdshm", transforming(data.values, data.to.data(), [&data] {
                           dshm::parallel::transform(data.from.begin(), data.from.end(),
                                                     data.to.begin(),
                                                     [](double x) { return image(x); });
                       }));
    double* const out = data.mine.data();
    const double* const in = data.values.data();
    transforms.peer("std::transform", transforming(data.values, out, [=] {
                        std::transform(in, in + count, out, image);
                    }));
#ifdef BENCH_HAVE_TBB
    const int threads = program.workers();
    transforms.peer("std::transform, par_unseq", transforming(data.values, out, [=] {
                        const bench::TbbThreads limit(threads);
                        std::transform(std::execution::par_unseq, in, in + count, out, image);
                    }));
#endif
}

void compare_sums(bench::Program& program, Data& data) {
    const double expected = std::accumulate(data.values.begin(), data.values.end(), 0.0);
    auto& sums = program.compare("parallel/sum").rounds(21);
    sums.subject("libdshm", summing(expected, [&data] {
                     return dshm::parallel::reduce(data.from.begin(), data.from.end(), 0.0);
                 }));
    sums.peer("std::reduce", summing(expected, [&data] {
                  return std::reduce(data.values.begin(), data.values.end(), 0.0);
              }));
    sums.peer("std::accumulate", summing(expected, [&data] {
                  return std::accumulate(data.values.begin(), data.values.end(), 0.0);
              }));
#ifdef BENCH_HAVE_TBB
    const int threads = program.workers();
    sums.peer("std::reduce, par_unseq", summing(expected, [&data, threads] {
                  const bench::TbbThreads limit(threads);
                  return std::reduce(std::execution::par_unseq, data.values.begin(),
                                     data.values.end(), 0.0);
              }));
#endif
}

} // namespace

int main(int argc, char** argv) {
    bench::Program program(argc, argv);
    dshm::Session session;
    dshm::addprocs(program.workers());
    Data data(program.size<std::size_t>(10'000'000, 100'000));
    compare_sorts(program, data);
    compare_transforms(program, data);
    compare_sums(program, data);
    return program.run();
}
