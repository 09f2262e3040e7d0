// Count heads in 200 million tosses: `distributed` with an operator against the same loop split by hand over bare forked
// processes (the ceiling), OpenMP, and one process.
//
// Two kinds of toss: a hash of the index (cheap, every split gives the same number) and mt19937_64 (dear, one
// generator for each process; the number must lie within six standard deviations).
#include <dshm/dshm.hpp>

#include "baselines/crew.hpp"
#include "baselines/heads.hpp"
#include "baselines/openmp.hpp"
#include "support/comparison.hpp"

#include <cmath>

namespace {

/// Splits [0, tosses) evenly over the members of a crew, and adds up what they counted.
class BareHeads {
public:
    BareHeads(long tosses, int members, long (*count)(long, long))
        : counted_(static_cast<std::size_t>(members) * stride),
          crew_(members, [=, this](int member) {
              counted_[static_cast<std::size_t>(member) * stride] =
                  count(tosses * member / members, tosses * (member + 1) / members);
          }) {}

    long run() {
        crew_.run();
        long heads = 0;
        for (std::size_t i = 0; i < counted_.size(); i += stride)
            heads += counted_[i];
        return heads;
    }

private:
    static constexpr std::size_t stride = 16; // a slot for each member, two cache lines apart

    bench::SharedMapping<long> counted_;
    bench::Crew crew_;
};

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
void compare(bench::Program& program, const char* name, long tosses, Toss toss,
             long (*count)(long, long), BareHeads& bare, Expected expected) {
    const int threads = program.workers();
    auto& heads = program.compare(name).rounds(15);
    const auto distributed = [=] {
        return dshm::distributed(std::plus<>{}, dshm::range(0, tosses), toss);
    };
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

    const long tosses = program.size(200'000'000L, 100'000L);
    BareHeads bare_hashed(tosses, program.workers(), bench::count_hashed_heads);
    BareHeads bare_random(tosses, program.workers(), bench::count_random_heads);

    compare(
        program, "heads/hash_of_the_index", tosses, [](long i) { return bench::hashed_toss(i); },
        bench::count_hashed_heads, bare_hashed, bench::count_hashed_heads(0, tosses));
    compare(
        program, "heads/mt19937_64", tosses, [](long) { return bench::random_toss(); },
        bench::count_random_heads, bare_random, Roughly{tosses});
    return program.run();
}
