// Count heads: `distributed` with an operator against the same loop split by hand over bare forked processes (the
// ceiling), OpenMP, and one process.
//
// Two kinds of toss: a hash of the index (cheap, every split gives the same number), from 40 million, which is 10 ms of work for one process, to four
// thousand million, which is a second; and 200 million of mt19937_64 (dear, one generator for each process; the number must lie within six
// standard deviations).
#include <dshm/dshm.hpp>

#include "baselines/bare_sum.hpp"
#include "baselines/heads.hpp"
#include "baselines/openmp.hpp"
#include "support/comparison.hpp"

#include <cmath>
#include <deque>

namespace {

/// A count that may be off by chance.
struct Roughly {
    long tosses;
    friend bool operator==(long heads, const Roughly& expected) {
        const double half = static_cast<double>(expected.tosses) / 2;
        return std::abs(static_cast<double>(heads) - half) < 6 * std::sqrt(half / 2) + 1;
    }
    friend std::ostream& operator<<(std::ostream& out, const Roughly& expected) {
        return out << "about " << expected.tosses / 2;
    }
};

template <class Toss, class Expected>
void compare(bench::Program& program, const std::string& name, long tosses, Toss toss,
             bench::BareSum::Piece count, bench::BareSum& bare, Expected expected) {
    const int threads = program.workers();
    auto& heads = program.compare(name);
    const auto distributed = [=] {
        return dshm::distributed(std::plus<>{}, dshm::range(0, tosses), toss);
    };
    heads.rounds(tosses > 500'000'000 ? 7 : 15); // of up to a second each
    heads.subject("libdshm", bench::once(distributed, expected));
    heads.peer("bare forked processes", bench::once([&bare] { return bare.run(); }, expected),
               0.98);
    if (bench::has_openmp)
        heads.peer("OpenMP",
                   bench::once([=] { return bench::openmp_sum(tosses, threads, toss); }, expected));
    heads.peer("serial", bench::once([=] { return count(0, tosses); }, expected));
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    bench::Program program(argc, argv);
    dshm::addprocs(program.workers());

    std::deque<bench::BareSum> bare; // all before the first thread
    const long millions = program.size(1'000'000L, 500L);
    for (const long size : {40, 200, 1'000, 4'000}) {
        const long tosses = size * millions;
        compare(
            program, "heads/hash_of_the_index/tosses_" + std::to_string(tosses), tosses,
            [](long i) { return bench::hashed_toss(i); }, bench::count_hashed_heads,
            bare.emplace_back(tosses, program.workers(), bench::count_hashed_heads),
            bench::count_hashed_heads(0, tosses));
    }
    const long tosses = 200 * millions;
    compare(
        program, "heads/mt19937_64", tosses, [](long) { return bench::random_toss(); },
        bench::count_random_heads,
        bare.emplace_back(tosses, program.workers(), bench::count_random_heads), Roughly{tosses});
    return program.run();
}
