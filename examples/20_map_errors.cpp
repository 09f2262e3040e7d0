// 20: what becomes of elements that fail: an error, a substitute, another attempt, the death of a worker.
//
// Julia: pmap(f, xs; on_error = ex -> NaN, retry_delays = [0.001, 0.001], retry_check = (s, e) -> e isa ErrorException)

#include <dshm/dshm.hpp>

#include <atomic>
#include <chrono>
#include <cmath>
#include <csignal>
#include <functional>
#include <iostream>
#include <stdexcept>
#include <vector>

namespace {

double checked_root(double x) {
    if (x < 0)
        throw std::domain_error("no root of a negative number");
    return std::sqrt(x);
}

/// True for the first of all processes that asks.
bool first_to_ask(const dshm::SharedVector<int>& asked) {
    return std::atomic_ref<int>(asked[0]).fetch_add(1) == 0;
}

template <class T>
void print(const char* what, const std::vector<T>& values) {
    std::cout << what;
    for (const T& value : values)
        std::cout << ' ' << value;
    std::cout << '\n';
}

} // namespace

int main(int argc, char** argv) {
    dshm::Session session(argc, argv);
    if (dshm::nprocs() == 1)
        dshm::addprocs(2);
    const std::vector<double> numbers{4, -1, 9, 16};

    // Left alone, the first failure ends the map, and has the type that was thrown.
    try {
        dshm::pmap(checked_root, numbers);
    } catch (const std::domain_error&) {
        std::cout << "a domain_error ended the map\n";
    }

    // A handler, which runs here, gives another value.
    print("substitutes:", dshm::pmap(checked_root, numbers,
                                     dshm::on_error([](const std::exception&) { return 0.0; })));

    // An element that fails is tried again, after a pause, on any worker; only for what is worth it.
    const dshm::SharedVector<int> attempts(1);
    const auto flaky = [attempts](double x) {
        if (first_to_ask(attempts))
            throw std::runtime_error("the line was busy");
        return 10 * x;
    };
    const auto busy = [](const std::exception& error) {
        return dynamic_cast<const std::runtime_error*>(&error) != nullptr;
    };
    using std::chrono::milliseconds;
    print("second attempts:",
          dshm::pmap(flaky, numbers, dshm::retry_delays({milliseconds(1), milliseconds(1)}),
                     dshm::retry_check(busy)));

    // The death of a worker is an error like others: its element goes to another worker.
    const dshm::SharedVector<int> deaths(1);
    const auto deadly = [deaths](double x) {
        if (first_to_ask(deaths))
            std::raise(SIGKILL);
        return x;
    };
    const int before = dshm::nworkers();
    print("survived:", dshm::pmap(deadly, numbers, dshm::retry_delays({milliseconds(1)})));
    std::cout << before - dshm::nworkers() << " worker fewer\n";

    // A loop does so when it is told how often.
    dshm::addprocs(1);
    const dshm::SharedVector<int> more_deaths(1);
    std::cout << "sum all the same: "
              << dshm::distributed(
                     std::plus<>{}, dshm::range(0, 1000),
                     [more_deaths](std::ptrdiff_t i) {
                         if (i == 500 && first_to_ask(more_deaths))
                             std::raise(SIGKILL);
                         return i;
                     },
                     dshm::retries(1))
              << '\n';
}
