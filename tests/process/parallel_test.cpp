// The algorithms of dshm::parallel against those of std, on random and on awkward inputs, and what
// they leave behind when something fails.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <limits>
#include <numeric>
#include <random>
#include <span>

#include "dshm/parallel.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

template <class T>
SharedVector<T> shared(const std::vector<T>& values) {
    SharedVector<T> array(values.size());
    std::copy(values.begin(), values.end(), array.begin());
    return array;
}

template <class T>
bool same(const SharedVector<T>& array, const std::vector<T>& values) {
    return std::equal(array.begin(), array.end(), values.begin(), values.end());
}

std::vector<int> random_numbers(std::size_t n, int limit) {
    std::mt19937 random(static_cast<unsigned>(n));
    std::vector<int> numbers(n);
    for (int& number : numbers)
        number = std::uniform_int_distribution<int>(-limit, limit)(random);
    return numbers;
}

// Orders in which sorts go wrong, each with so many elements.
std::vector<std::vector<int>> awkward_orders(std::size_t n) {
    std::vector<int> ascending(n), organ(n), teeth(n);
    std::iota(ascending.begin(), ascending.end(), 0);
    for (std::size_t i = 0; i < n; ++i) {
        organ[i] = static_cast<int>(std::min(i, n - i));
        teeth[i] = static_cast<int>(i % 7);
    }
    std::vector<int> last_first = ascending;
    if (n > 1)
        std::rotate(last_first.begin(), last_first.end() - 1, last_first.end());
    return {ascending,
            {ascending.rbegin(), ascending.rend()},
            std::vector<int>(n, 5),
            organ,
            teeth,
            last_first,
            random_numbers(n, 3),
            random_numbers(n, std::numeric_limits<int>::max())};
}

struct Record {
    int key;
    double payload[3];
};

constexpr std::size_t enough = 50'000; // for a sort to be shared out

// All elements are there once each, in whatever order.
void check_permutation(const SharedVector<int>& array, std::vector<int> expected) {
    std::vector<int> there(array.begin(), array.end());
    std::sort(there.begin(), there.end());
    std::sort(expected.begin(), expected.end());
    DEMAND(there == expected);
}

} // namespace

TEST_CASE("sort does what std::sort does") {
    for (const int workers : {0, 1, 2, 3, 5})
        in_session(workers, [] {
            for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{2},
                                        std::size_t{1000}, enough, enough + 1, 3 * enough + 7})
                for (std::vector<int>& numbers : awkward_orders(n)) {
                    const auto array = shared(numbers);
                    parallel::sort(array.begin(), array.end());
                    std::sort(numbers.begin(), numbers.end());
                    DEMAND(same(array, numbers));
                }
        });
}

TEST_CASE("sort by a comparison, of records, and of a part of an array") {
    in_session(3, [] {
        std::vector<int> numbers = random_numbers(enough, 1000);
        const auto array = shared(numbers);
        parallel::sort(array.begin() + 10, array.end() - 10, std::greater<>());
        std::sort(numbers.begin() + 10, numbers.end() - 10, std::greater<>());
        DEMAND(same(array, numbers));
        std::vector<Record> records;
        for (const int key : random_numbers(enough, 1 << 30))
            records.push_back({key, {1.0 * key, 0, 0}});
        const auto shared_records = shared(records);
        int flip = -1;
        const auto by_key = [flip](const Record& a, const Record& b) {
            return flip * a.key < flip * b.key;
        };
        parallel::sort(shared_records.begin(), shared_records.end(), by_key);
        DEMAND(std::is_sorted(shared_records.begin(), shared_records.end(), by_key));
        DEMAND(fetch_from(2, [array] { // from a worker
            parallel::sort(array.begin(), array.end());
            return std::is_sorted(array.begin(), array.end());
        }));
    });
}

// The first half odd, the second even: with two workers, numbers of both kinds meet when the runs are
// merged, and not before.
std::vector<int> halves_of_two_kinds() {
    std::vector<int> numbers = random_numbers(enough, 1 << 28);
    for (std::size_t i = 0; i < enough; ++i)
        numbers[i] = 2 * numbers[i] + (i < enough / 2 ? 1 : 0);
    return numbers;
}
bool of_two_kinds(int a, int b) { return ((a ^ b) & 1) != 0; }

TEST_CASE("an exception of the comparison arrives, and no element is lost") {
    in_session(2, [] {
        for (const bool merging : {false, true})
            for (const int after : {1, 100, 10'000}) {
                const std::vector<int> numbers = halves_of_two_kinds();
                const auto array = shared(numbers);
                const SharedArray<int> count(4);
                const std::string text = thrown_by<std::domain_error>([&] {
                    parallel::sort(array.begin(), array.end(), [=](int a, int b) {
                        if (of_two_kinds(a, b) == merging &&
                            ++count[static_cast<std::size_t>(myid())] == after)
                            throw std::domain_error("cannot compare");
                        return a < b;
                    });
                });
                DEMAND(has(text, "cannot compare"));
                check_permutation(array, numbers);
                if (!merging)
                    DEMAND(same(array, numbers));
            }
    });
}

TEST_CASE("a worker dies in a sort, in its run or while it merges, and no element is lost") {
    in_session(2, [] {
        for (const bool merging : {false, true})
            for (const int after : {1, 20, 400, 8'000, 15'000}) {
                const std::vector<int> numbers = halves_of_two_kinds();
                const auto array = shared(numbers);
                const SharedArray<int> count(1);
                const WorkerId victim = workers().back();
                const auto deadly = [=](int a, int b) {
                    if (myid() == victim && of_two_kinds(a, b) == merging && ++count[0] == after)
                        raise(SIGKILL);
                    return a < b;
                };
                try {
                    parallel::sort(array.begin(), array.end(), deadly);
                    DEMAND(!"it died");
                } catch (const ProcessExitedException& exited) {
                    DEMAND(exited.pid() == victim);
                }
                check_permutation(array, numbers);
                until([victim] { return has_ended(victim); });
                addprocs(1);
            }
    });
}

TEST_CASE("for_each, transform and reduce do what those of std do") {
    for (const int workers : {0, 1, 3})
        in_session(workers, [] {
            for (const std::size_t n :
                 {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{4097}, enough}) {
                std::vector<int> numbers = random_numbers(n, 1000);
                const auto array = shared(numbers);
                parallel::for_each(array.begin(), array.end(), [](int& x) { x += 3; });
                std::for_each(numbers.begin(), numbers.end(), [](int& x) { x += 3; });
                DEMAND(same(array, numbers));
                const SharedVector<double> halves(n);
                const auto half = [](int x) { return 0.5 * x; };
                DEMAND(parallel::transform(array.begin(), array.end(), halves.begin(), half) ==
                       halves.end());
                std::vector<double> expected(n);
                std::transform(numbers.begin(), numbers.end(), expected.begin(), half);
                DEMAND(same(halves, expected));
                parallel::transform(array.begin(), array.end(), array.begin(), std::negate<>());
                parallel::transform(array.begin(), array.end(), halves.begin(), halves.begin(),
                                    std::plus<>(), schedule(Schedule::guided));
                for (std::size_t i = 0; i < n; ++i)
                    DEMAND(array[i] == -numbers[i] && halves[i] == expected[i] - numbers[i]);
                const long sum = std::accumulate(numbers.begin(), numbers.end(), 0L);
                DEMAND(parallel::reduce(array.begin(), array.end(), 7L) == 7 - sum);
                DEMAND(parallel::reduce(array.begin(), array.end()) == -sum);
                const auto least = [](int a, int b) { return std::min(a, b); };
                DEMAND(parallel::reduce(array.begin(), array.end(), 100, least) ==
                       std::accumulate(array.begin(), array.end(), 100, least));
            }
        });
}

TEST_CASE("a reduction keeps its order and does not depend on the number of workers") {
    struct Affine { // composition: associative, not commutative
        std::uint32_t a, b;
    };
    std::vector<double> sums;
    for (const int workers : {0, 1, 2, 5}) {
        const Outcome outcome = in_session(workers, [] {
            std::mt19937 random(5);
            SharedVector<Affine> maps(20'000);
            for (Affine& map : maps)
                map = {static_cast<std::uint32_t>(random()), static_cast<std::uint32_t>(random())};
            const auto after = [](Affine f, Affine g) {
                return Affine{f.a * g.a, f.b * g.a + g.b};
            };
            const Affine mine = parallel::reduce(maps.begin(), maps.end(), Affine{1, 0}, after);
            const Affine expected = std::accumulate(maps.begin(), maps.end(), Affine{1, 0}, after);
            DEMAND(mine.a == expected.a && mine.b == expected.b);
            SharedVector<double> values(100'001);
            for (double& value : values)
                value = std::uniform_real_distribution<>(0, 1)(random);
            std::printf("%a\n", parallel::reduce(values.begin(), values.end(), 0.0));
        });
        sums.push_back(std::stod(outcome.output));
        CHECK(sums.back() == sums.front());
    }
    CHECK(sums.front() == approximately(50'000).epsilon(0.01));
}

TEST_CASE("failures of a body arrive, and workers have stopped by then") {
    in_session(2, [] {
        const SharedVector<int> array(1000);
        const auto text = thrown_by<std::range_error>([&] {
            parallel::for_each(array.begin(), array.end(), [](int& x) {
                x = 1;
                throw std::range_error("bad element");
            });
        });
        DEMAND(has(text, "bad element"));
        thrown_by<std::range_error>([&] {
            parallel::reduce(array.begin(), array.end(), 0,
                             [](int, int) -> int { throw std::range_error("bad element"); });
        });
        thrown_by<ProcessExitedException>([&] {
            parallel::for_each(array.begin(), array.end(), [](int&) {
                if (myid() == 3)
                    raise(SIGKILL);
            });
        });
        parallel::for_each(
            array.begin(), array.end(), [](int& x) { x = 2; }, on(2));
        DEMAND(parallel::reduce(array.begin(), array.end(), 0) == 2000);
    });
}

TEST_CASE("memory that is not shared is refused, with what to do") {
    in_session(2, [] {
        std::vector<double> mine(100'000, 1.0);
        for (const auto& text :
             {thrown_by<std::invalid_argument>([&] { parallel::sort(mine.begin(), mine.end()); }),
              thrown_by<std::invalid_argument>(
                  [&] { parallel::for_each(mine.begin(), mine.end(), [](double&) {}); }),
              thrown_by<std::invalid_argument>(
                  [&] { parallel::reduce(mine.data(), mine.data() + 3, 0.0); })}) {
            DEMAND(text.starts_with("dshm: parallel::") && has(text, "SharedArray"));
        }
        const SharedVector<double> array(1000);
        thrown_by<std::invalid_argument>([&] {
            parallel::transform(array.begin(), array.end(), mine.begin(), std::negate<>());
        });
        const auto beyond = thrown_by<std::invalid_argument>(
            [&] { parallel::sort(array.begin(), array.begin() + 10'000'000); });
        DEMAND(has(beyond, "beyond the end"));
        int local = 1;
        thrown_by<std::invalid_argument>([&] {
            parallel::for_each(array.begin(), array.end(), [p = &local](double& x) { x = *p; });
        });
    });
}

TEST_CASE("elements of shared memory that nobody would keep there are refused") {
    in_session(2, [] {
        const std::vector<double> argument(100'000, 1.0); // lies in a block of the segment
        const auto text = thrown_by<std::invalid_argument>([&] {
            fetch_from(
                2,
                [](std::span<const double> x) { return parallel::reduce(x.begin(), x.end(), 0.0); },
                argument);
        });
        DEMAND(has(text, "parallel::reduce") && has(text, "belongs to no SharedArray"));
    });
}

TEST_CASE("an interrupted algorithm waits for parts that run below it, on the same worker") {
    const Outcome outcome = in_session(2, [] {
        const SharedArray<int> elements(3);
        const auto all_are = [elements](int value) {
            return std::all_of(elements.begin(), elements.end(),
                               [value](int& x) { return std::atomic_ref(x).load() == value; });
        };
        const auto caller = spawn_at(2, [elements] {
            const auto until_interrupted = [](int& x) {
                std::atomic_ref(x).store(1);
                try {
                    sleep_for(std::chrono::hours(1));
                } catch (const InterruptException&) {
                    std::atomic_ref(x).store(2);
                    throw;
                }
            };
            parallel::for_each(elements.begin(), elements.end(), until_interrupted, on({2, 2, 2}));
        });
        until([&] { return all_are(1); });
        interrupt({2});
        thrown_by<InterruptException>([&] { caller.wait(); });
        DEMAND(all_are(2));
        DEMAND(fetch_from(2, myid) == 2);
    });
    CHECK(!has(outcome.errors, "nobody waited for"));
}

TEST_CASE("the caller of an algorithm may die, and nothing is left") {
    in_session(3, [] {
        const auto before = runtime::current().objects().live_count();
        const SharedArray<int> slow(1000);
        const Flag begun;
        const auto caller = spawn_at(4, [slow, begun] {
            parallel::for_each(
                slow.begin(), slow.end(),
                [begun](int& x) {
                    begun.raise();
                    usleep(100);
                    x = 1;
                },
                on({2, 3}));
        });
        begun.await();
        kill_worker(4);
        thrown_by<ProcessExitedException>([&] { caller.wait(); });
        DEMAND(fetch_from(2, [] { return true; }) && fetch_from(3, [] { return true; }));
        DEMAND(runtime::current().objects().live_count() >= before + 2);
    });
}
