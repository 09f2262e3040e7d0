// 18: iterations that take different times, under the three schedules.
//
// Julia: @distributed (+) for n = 1:last; isprime(n); end     (always the static split)
//
// Trial division takes longer for larger numbers, so an even split gives the last worker the most to do. The count may be
// changed by an argument.

#include <dshm/dshm.hpp>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>

namespace {

bool is_prime(std::ptrdiff_t n) {
    for (std::ptrdiff_t divisor = 2; divisor * divisor <= n; ++divisor)
        if (n % divisor == 0)
            return false;
    return n >= 2;
}

/// Prints what `count` gives and how long it took.
template <class Count>
void report(const char* how, Count count) {
    const auto begin = std::chrono::steady_clock::now();
    const int primes = count();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    std::printf("%s: %d primes, %.3f s\n", how, primes, seconds.count());
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);
    const dshm::Range numbers = dshm::range(1, argc > 1 ? std::atol(argv[1]) : 2'000'000);

    report("master alone", [=] {
        int primes = 0;
        for (const std::ptrdiff_t n : numbers)
            primes += is_prime(n);
        return primes;
    });

    using dshm::Schedule;
    const auto count = [=](Schedule schedule) {
        return [=] {
            return dshm::distributed(
                std::plus<>{}, numbers, [](std::ptrdiff_t n) { return is_prime(n); },
                dshm::schedule(schedule));
        };
    };
    report("static, a piece for each worker", count(Schedule::static_));
    report("dynamic, equal chunks for whoever is free", count(Schedule::dynamic));
    report("guided, chunks that become smaller", count(Schedule::guided));

    // The master may work along instead of waiting.
    report("guided, with the master", [=] {
        return dshm::distributed(
            std::plus<>{}, numbers, [](std::ptrdiff_t n) { return is_prime(n); },
            dshm::schedule(Schedule::guided), dshm::on(dshm::procs()));
    });
}
