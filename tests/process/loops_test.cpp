// distributed and pmap: who does what, in which order results come together, and what failures do.

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace {

// Which worker ran each element of a loop over n elements.
std::vector<int> runners(int n) {
    const SharedArray<int> who(std::max(n, 1));
    sync([&] {
        distributed(range(0, n), [who](long i) { who[static_cast<std::size_t>(i)] = myid(); });
    });
    return {who.begin(), who.begin() + n};
}

std::string letter(long i) { return std::string(1, static_cast<char>('a' + i)); }

} // namespace

TEST_CASE("chunk i of a loop runs on worker i, the first chunks one longer") {
    in_session(3, [] {
        using Ids = std::vector<int>;
        DEMAND((runners(10) == Ids{2, 2, 2, 2, 3, 3, 3, 4, 4, 4}));
        DEMAND((runners(11) == Ids{2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4}));
        DEMAND((runners(3) == Ids{2, 3, 4}));
        DEMAND((runners(2) == Ids{2, 3}));
        DEMAND((runners(1) == Ids{2}));
        DEMAND(runners(0).empty());
        rmprocs(3);
        DEMAND((runners(4) == Ids{2, 2, 4, 4}));
    });
}

TEST_CASE("a reduction goes from left to right, whatever the number of workers") {
    for (const int count : {0, 1, 2, 3, 5})
        in_session(count, [] {
            const auto joined = [](const Range& r) {
                return distributed(std::plus<>{}, r, letter);
            };
            DEMAND(joined(range(0, 26)) == "abcdefghijklmnopqrstuvwxyz");
            DEMAND(joined(range(0, 1)) == "a" && joined(range(0, 2)) == "ab");
            DEMAND(joined(range(0, 10, 3)) == "adgj");
            DEMAND(joined(range(9, 0, -2)) == "jhfdb");
            DEMAND(joined(range(10, -1, -5)) == "kfa");
            const std::vector<std::string> words{"one ", "two ", "three ", "four ", "five"};
            DEMAND(distributed(std::plus<>{}, words, [](const std::string& w) { return w; }) ==
                   "one two three four five");
            DEMAND(distributed([](long a, long b) { return std::max(a, b); }, range(0, 1000),
                               [](long i) { return (i * 7919) % 1000; }) == 999);
            // The type of the sum, not of the element.
            DEMAND(distributed(std::plus<>{}, range(0, 1000), [](long) { return true; }) == 1000);
            thrown_by<std::invalid_argument>([&] { joined(range(5, 5)); });
        });
}

TEST_CASE("a loop without an operator returns at once and is waited for by its future or a sync") {
    in_session(2, [] {
        const Flag go;
        const SharedArray<int> done(10);
        const Future<void> loop = distributed(range(0, 10), [go, done](long i) {
            go.await();
            done[static_cast<std::size_t>(i)] = 1;
        });
        DEMAND(!loop.isready());
        go.raise();
        loop.wait();
        for (const int one : done)
            DEMAND(one == 1);
        distributed(range(0, 0), [](long) {}).fetch();
        const std::vector<int> elements{5, 6, 7};
        const SharedArray<int> seen(10);
        sync([&] {
            distributed(elements, [seen](int e) { seen[static_cast<std::size_t>(e)] = e; });
        });
        DEMAND(seen[5] == 5 && seen[6] == 6 && seen[7] == 7);
    });
}

TEST_CASE("failures of a loop are those of its chunks, in order") {
    const Outcome outcome = in_session(2, [] {
        const auto fail = [](long i) -> int {
            if (i == 3 || i == 7)
                throw std::out_of_range("element " + std::to_string(i));
            return 1;
        };
        DEMAND(has(
            thrown_by<std::out_of_range>([&] { distributed(std::plus<>{}, range(0, 10), fail); }),
            "element 3"));
        try {
            sync([&] { distributed(range(0, 10), fail); });
            DEMAND(false);
        } catch (const CompositeException& error) {
            DEMAND(error.size() == 2);
            DEMAND(has(thrown_by<std::out_of_range>(
                           [&] { std::rethrow_exception(error.exceptions()[1]); }),
                       "element 7"));
        }
        DEMAND(distributed(std::plus<>{}, range(0, 3), fail) == 3);
    });
    // The reduction has thrown the first failure; the second is not lost either.
    CHECK(times(outcome.errors, "element 7") == 1);
    CHECK(times(outcome.errors, "element 3") == 0);
}

TEST_CASE("a loop's captured variables are copies") {
    in_session(2, [] {
        int sum = 0;
        sync([&] {
            distributed(range(0, 10), [sum](long i) mutable { sum += static_cast<int>(i); });
        });
        DEMAND(sum == 0);
    });
}

TEST_CASE("loops nest, also on workers") {
    in_session(2, [] {
        const long value = distributed(std::plus<>{}, range(0, 4), [](long i) {
            return distributed(std::plus<>{}, range(0, 4), [i](long j) { return 10 * i + j; });
        });
        DEMAND(value == 4 * (0 + 10 + 20 + 30) + 4 * 6);
        const auto rows = pmap(
            [](int i) {
                return pmap([i](int j) { return i * j; }, std::vector<int>{1, 2, 3});
            },
            std::vector<int>{1, 2, 3, 4});
        DEMAND(rows[3] == (std::vector<int>{4, 8, 12}));
    });
}

TEST_CASE("pmap gives results in the order of the elements") {
    for (const int count : {0, 1, 3})
        in_session(count, [] {
            std::vector<int> numbers(10'000);
            for (std::size_t i = 0; i < numbers.size(); ++i)
                numbers[i] = static_cast<int>(i);
            const auto squares = pmap([](int i) { return static_cast<long>(i) * i; }, numbers);
            for (std::size_t i = 0; i < numbers.size(); ++i)
                DEMAND(squares[i] == static_cast<long>(i * i));
            const auto texts = pmap([](const std::string& s) { return s + s; },
                                    std::vector<std::string>{"a", "b", "", "cd"});
            DEMAND((texts == std::vector<std::string>{"aa", "bb", "", "cdcd"}));
            DEMAND(pmap([](int i) { return i; }, std::vector<int>{}).empty());
            const auto from_range = pmap([](long i) { return 2 * i; }, range(0, 5));
            DEMAND((from_range == std::vector<long>{0, 2, 4, 6, 8}));
            DEMAND((pmap([](bool b) { return !b; }, std::vector<bool>{true, false}) ==
                    std::vector<bool>{false, true}));
            const std::vector<Eigen::MatrixXd> matrices(5, Eigen::MatrixXd::Identity(3, 3));
            const auto traces = pmap([](const Eigen::MatrixXd& m) { return m.trace(); }, matrices);
            DEMAND(traces == std::vector<double>(5, 3.0));
            const SharedArray<int> seen(5);
            pmap([seen](int i) { seen[static_cast<std::size_t>(i)] = 1; },
                 std::vector<int>{0, 1, 2, 3, 4});
            DEMAND(std::count(seen.begin(), seen.end(), 1) == 5);
        });
}

TEST_CASE("a slow element does not hold up the others") {
    in_session(2, [] {
        // Element 0 ends only when all the others have: the other worker must take them, in small portions.
        const SharedArray<int> left(1);
        left[0] = 199;
        std::vector<int> elements(200);
        for (std::size_t i = 0; i < elements.size(); ++i)
            elements[i] = static_cast<int>(i);
        const auto results = pmap(
            [left](int i) {
                std::atomic_ref<int> count(left[0]);
                if (i == 0)
                    until([&] { return count.load() == 0; });
                else
                    count.fetch_sub(1);
                return i;
            },
            elements);
        DEMAND(results == elements);
    });
}

TEST_CASE("a failure of pmap stops it") {
    const Outcome outcome = in_session(2, [] {
        const SharedArray<int> calls(1);
        std::vector<int> elements(100'000, 0);
        elements[10] = 1;
        DEMAND(has(thrown_by<std::invalid_argument>([&] {
                       pmap(
                           [calls](int i) {
                               std::atomic_ref(calls[0]).fetch_add(1);
                               if (i == 1)
                                   throw std::invalid_argument("the eleventh");
                               return i;
                           },
                           elements);
                   }),
                   "the eleventh"));
        DEMAND(calls[0] < 100'000);
        DEMAND(pmap([](int i) { return i; }, std::vector<int>{4}) == std::vector<int>{4});
    });
    CHECK(outcome.errors == "");
}
