// DSHM_VERIFY: outcomes that differ are found and named, and those that do not are left alone.

#include <limits>
#include <map>
#include <set>
#include <unordered_map>

#include "dshm/verify.hpp"
#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;
using detail::ArraySnapshot;
using detail::first_difference;

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

// Where and how they differ; empty when they do not.
template <class T>
std::string difference(const T& a, const T& b, double tolerance = 0) {
    const auto found = first_difference(a, b, tolerance);
    return found ? found->where + ":" + found->with_workers + "|" + found->serially : "";
}

struct Plain { // no ==, and three bytes of padding
    char letter;
    int number;
};
struct Opaque {
    std::string text;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(text);
    }
};
struct Comparable {
    int number, ignored;
    friend bool operator==(const Comparable& a, const Comparable& b) {
        return a.number == b.number;
    }
};

void verify_with(const char* tolerance = nullptr) {
    setenv("DSHM_VERIFY", "1", 1);
    if (tolerance != nullptr)
        setenv("DSHM_VERIFY_TOLERANCE", tolerance, 1);
    DEMAND(detail::verifying());
}

// The sentence of a verification of two runs that must fail.
template <class WithWorkers, class Serially, class... Closures>
std::string failure_of(WithWorkers with_workers, Serially serially, const Closures&... closures) {
    ArraySnapshot arrays;
    (arrays.add_closure(closures), ...);
    return thrown_by<VerificationFailed>(
        [&] { detail::verified("loop", arrays, with_workers, serially); });
}

} // namespace

TEST_CASE("values are compared by what they hold, and the first difference is named") {
    CHECK(difference(1, 1).empty());
    CHECK(difference(1, 2) == ":1|2");
    CHECK(difference(std::string("a"), std::string("b")) == ":a|b");
    CHECK(difference(std::vector<int>{1, 2, 3}, {1, 5, 6}) == "[1]:2|5");
    CHECK(difference(std::vector<int>{1, 2, 3}, {1, 2}) == ":3 elements|2 elements");
    CHECK(difference(std::vector<bool>{true, false}, {true, true}) == "[1]:false|true");
    CHECK(difference(std::vector<std::vector<char>>{{1}, {2, 3}}, {{1}, {2, 4}}) == "[1][1]:3|4");
    CHECK(difference(std::pair(1, std::string("x")), {1, "y"}) == "[1]:x|y");
    CHECK(difference(std::tuple(1, 2.5, 'c'), {1, 2.5, 'c'}).empty());
    CHECK(difference(std::array<int, 2>{1, 2}, {1, 3}) == "[1]:2|3");
    CHECK(difference(std::map<int, double>{{1, 2}}, {{1, 3}}) == "[0][1]:2|3");
    CHECK(difference(std::set<int>{1, 2}, {1, 2}).empty());
    CHECK(difference(std::unordered_map<int, int>{{1, 2}, {3, 4}}, {{3, 4}, {1, 2}}).empty());
    CHECK(difference(std::unordered_map<int, int>{{1, 2}}, {{1, 3}}) == ":|");
    CHECK(difference(std::optional<int>(), {}).empty());
    CHECK(difference(std::optional<int>(3), {}) == ":3|nothing");
    CHECK(difference(std::optional<int>(3), {4}) == ":3|4");
    CHECK(difference(Comparable{1, 2}, {1, 3}).empty());
    CHECK(difference(Comparable{1, 2}, {2, 2}) == ":|");
    CHECK(difference(Opaque{"a"}, {"a"}).empty());
    CHECK(difference(std::vector<Opaque>{{"a"}, {"b"}}, {{"a"}, {"c"}}) == "[1]:|");
}

TEST_CASE("matrices are compared by shape and elements") {
    Eigen::MatrixXd a = Eigen::MatrixXd::Zero(2, 3), b = a;
    CHECK(difference(a, b).empty());
    b(1, 2) = 1e-3;
    CHECK(difference(a, b).find("(1, 2):0|0.001") == 0);
    CHECK(difference(a, b, 0.5) != "");
    b.resize(3, 2);
    CHECK(difference(a, b) == ":2×3|3×2");
    CHECK(difference(std::vector<Eigen::VectorXd>{Eigen::VectorXd::Ones(2)},
                     {Eigen::VectorXd::Constant(2, 2)}) == "[0](0, 0):1|2");
}

TEST_CASE("floating-point numbers are compared by their bits or to a tolerance") {
    const double close = 1 + 1e-15;
    CHECK(difference(1.0, close) != "");
    CHECK(difference(1.0, close, 1e-12).empty());
    CHECK(difference(1.0, 1.0 + 1e-9, 1e-12) != "");
    CHECK(difference(1e300, 1e300 * close, 1e-12).empty());
    CHECK(difference(no_number, no_number).empty());
    CHECK(difference(no_number, -no_number).empty());
    CHECK(difference(no_number, 1.0, 0.5) != "");
    CHECK(difference(0.0, -0.0) == ":0|-0");
    CHECK(difference(0.0, -0.0, 1e-12).empty());
    constexpr double infinity = std::numeric_limits<double>::infinity();
    CHECK(difference(infinity, infinity).empty());
    CHECK(difference(infinity, -infinity, 0.5) != "");
    CHECK(difference(infinity, 1.0, 0.5) != "");
    CHECK(difference(1.0f, 1.0f + 1e-6f, 1e-5).empty());
    using Complex = std::complex<double>;
    CHECK(difference(Complex(1, 1e-20), Complex(1, 2e-20), 1e-12).empty());
    CHECK(difference(Complex(1, 2), Complex(1, 3)) == ":(1,2)|(1,3)");
}

#if defined(__GNUC__) && !defined(__clang__)
TEST_CASE("padding is no difference") {
    Plain a, b;
    std::memset(static_cast<void*>(&a), 1, sizeof a);
    std::memset(static_cast<void*>(&b), 2, sizeof b);
    a.letter = b.letter = 'x';
    a.number = b.number = 3;
    CHECK(difference(a, b).empty());
    b.number = 4;
    CHECK(difference(a, b) == ":|");
}
#endif

TEST_CASE("it is asked for by the environment, which is read once a session") {
    in_session(0, [] { DEMAND(!detail::verifying()); });
    for (const char* off : {"0", "no", ""})
        in_session(0, [off] {
            setenv("DSHM_VERIFY", off, 1);
            DEMAND(!detail::verifying());
        });
    in_session(0, [] {
        verify_with();
        DEMAND(detail::verify_tolerance() == 0);
    });
    in_session(0, [] {
        verify_with("1e-12");
        DEMAND(detail::verify_tolerance() == 1e-12);
    });
    in_session(0, [] {
        setenv("DSHM_VERIFY", "maybe", 1);
        DEMAND(has(thrown_by<std::invalid_argument>(detail::verifying), "DSHM_VERIFY='maybe'"));
    });
    for (const char* bad : {"x", "-1", "1", "1e-12x", "nan"})
        in_session(0, [bad] {
            setenv("DSHM_VERIFY", "1", 1);
            setenv("DSHM_VERIFY_TOLERANCE", bad, 1);
            DEMAND(has(thrown_by<std::invalid_argument>(detail::verifying), bad));
        });
}

TEST_CASE("values that differ are named, the same ones come back") {
    in_session(0, [] {
        verify_with();
        ArraySnapshot none;
        DEMAND(detail::verified(
                   "loop", none, [] { return 3; }, [] { return 3; }) == 3);
        DEMAND(has(failure_of([] { return 3; }, [] { return 4; }),
                   "dshm: verify: the value of loop is 3 with workers and 4 serially"));
        DEMAND(has(failure_of([] { return 0.5; }, [] { return 0.5 + 1e-16; }),
                   "DSHM_VERIFY_TOLERANCE"));
        const auto vector = [](double last) {
            return [last] {
                std::vector<double> values(18, 1.0);
                values[17] = last;
                return values;
            };
        };
        DEMAND(has(failure_of(vector(3.25), vector(3.5)),
                   "element 17 of loop is 3.25 with workers and 3.5 serially"));
        const auto nested = [](int last) {
            return [last] { return std::vector<std::vector<int>>{{1}, {2, last}}; };
        };
        DEMAND(has(failure_of(nested(3), nested(4)),
                   "element 1 of loop, at [1], is 3 with workers and 4 serially"));
        DEMAND(
            has(failure_of([] { return std::vector<int>(2); }, [] { return std::vector<int>(3); }),
                "the result of loop is 2 elements with workers and 3 elements serially"));
        DEMAND(has(failure_of([] { return Opaque{"a"}; }, [] { return Opaque{"b"}; }),
                   "the value of loop is not the same with workers as serially"));
        DEMAND(has(failure_of([] { return 1; }, []() -> int { throw std::runtime_error("oh"); }),
                   "loop ended well with workers and fails serially: oh"));
        DEMAND(thrown_by<std::out_of_range>([&] {
                   detail::verified(
                       "loop", none, []() -> int { throw std::out_of_range("with"); },
                       [] { return 1; });
               }) == "with");
    });
}

TEST_CASE("arrays that a closure holds start both runs alike, and keep the outcome with workers") {
    in_session(0, [] {
        verify_with();
        SharedArray<double, 2> array({10, 10});
        SharedArray<int> other(5);
        array[17] = 1;
        const auto body = [array, other, again = array] {
            array[17] += 2;
            other[1] += 1;
            return array.data() == again.data();
        };
        ArraySnapshot arrays;
        arrays.add_closure(body);
        arrays.add(array);
        DEMAND(arrays.count() == 2);
        detail::verified(
            "loop", arrays, [&] { body(); }, [&] { body(); });
        DEMAND(array[17] == 3 && other[1] == 1);
        const auto wrong = [&] {
            body();
            array[17] = 9.5;
        };
        DEMAND(has(failure_of(wrong, body, body),
                   "element 17 of the SharedArray of dimensions (10, 10) after loop is 9.5 with "
                   "workers and 5 serially"));
        DEMAND(array[17] == 9.5 && other[1] == 2);
        // What the serial run threw away is put back, too.
        DEMAND(has(failure_of([&] { array[3] = 7; },
                              [&] {
                                  array[4] = 8;
                                  throw std::runtime_error("oh");
                              },
                              body),
                   "fails serially: oh"));
        DEMAND(array[3] == 7 && array[4] == 0);
    });
}

TEST_CASE("elements of arrays are compared as what they are") {
    in_session(0, [] {
        verify_with("1e-12");
        const auto check = [](auto first, auto second) -> std::string {
            SharedArray<decltype(first)> array(4);
            const auto body = [array] { static_cast<void>(array); };
            ArraySnapshot arrays;
            arrays.add_closure(body);
            try {
                detail::verified(
                    "loop", arrays, [&] { array[2] = first; }, [&] { array[2] = second; });
            } catch (const VerificationFailed& error) {
                return error.what();
            }
            return "";
        };
        DEMAND(check(1.0, 1.0 + 1e-15).empty());
        DEMAND(check(no_number, no_number).empty());
        DEMAND(check(1.0f, 1.0f).empty());
        DEMAND(has(check(1.0, 1.1),
                   "element 2 of the SharedArray of dimensions (4) after loop is 1 "));
        DEMAND(has(check(1L, 2L), "is 1 with workers and 2 serially"));
        DEMAND(has(check('a', 'b'), "is 97 with workers and 98 serially"));
        DEMAND(has(check(std::complex<float>(1, 2), std::complex<float>(1, 3)), "(1,2) with"));
        DEMAND(has(check(Plain{'a', 1}, Plain{'a', 2}), "element 2 of the SharedArray"));
        DEMAND(has(check(true, false), "element 2"));
    });
}

TEST_CASE("a race that loses sums is found with real workers") {
    in_session(2, [] {
        verify_with();
        SharedArray<long> sum(1);
        const auto body = [sum](std::ptrdiff_t) { sum[0] = sum[0] + myid(); };
        ArraySnapshot arrays;
        arrays.add_closure(body);
        const std::string text = thrown_by<VerificationFailed>([&] {
            detail::verified(
                "distributed", arrays,
                [&] {
                    for (const WorkerId id : workers())
                        fetch_from(id, body, 0);
                },
                [&] {
                    body(0);
                    body(1);
                });
        });
        DEMAND(has(text, "element 0 of the SharedArray of dimensions (1) after distributed is 5 "
                         "with workers and 2 serially"));
        DEMAND(sum[0] == 5);
    });
}
