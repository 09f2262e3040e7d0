// Every kind of value that can be shipped, in real processes: as an argument, as an element, as a
// result, and where that is allowed as a capture; there, on the caller itself, and when it cannot be
// encoded at all.
#include <algorithm>
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <stack>
#include <system_error>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <valarray>
#include <variant>

#include <Eigen/Geometry>
#include <Eigen/SparseCore>
#include <cereal/types/polymorphic.hpp>

#include "session_case.hpp"

using namespace dshm;
using namespace dshm::test;

namespace app {

enum class Colour : unsigned char { red, blue };

struct Plain {
    int number;
    double weight;
    bool operator==(const Plain&) const = default;
};

struct Person {
    std::string name;
    std::map<std::string, std::vector<int>> scores;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name, scores);
    }
    bool operator==(const Person&) const = default;
};

// Cannot be copied.
struct Ticket {
    explicit Ticket(int n = 0) : number(std::make_unique<int>(n)) {}
    std::unique_ptr<int> number;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(number);
    }
    bool operator==(const Ticket& other) const { return *number == *other.number; }
};

struct Shape {
    virtual ~Shape() = default;
    virtual int corners() const = 0;
    template <class Archive>
    void serialize(Archive&) {}
};
struct Square final : Shape {
    int size = 0;
    int corners() const override { return 4; }
    template <class Archive>
    void serialize(Archive& archive) {
        archive(cereal::base_class<Shape>(this), size);
    }
};

// Refuses where it is told to.
struct Stubborn {
    bool when_written = false;
    bool when_read = false;
    std::string text = "stubborn";

    template <class Archive>
    void save(Archive& archive) const {
        archive(when_written, when_read, text);
        if (when_written)
            throw std::domain_error("I will not be written");
    }
    template <class Archive>
    void load(Archive& archive) {
        archive(when_written, when_read, text);
        if (when_read)
            throw std::domain_error("I will not be read");
    }
};

// Gives more each time that it is asked.
struct Growing {
    mutable std::size_t times = 0;
    std::string not_sent;

    template <class Archive>
    void serialize(Archive& archive) {
        std::string text(100 * ++times, 'x');
        archive(text);
    }
};

// A callable whose copying throws once it is told to.
struct ThrowingCopy {
    explicit ThrowingCopy(bool now = false) : throws(now) {}
    ThrowingCopy(const ThrowingCopy& other) : throws(other.throws) {
        if (throws)
            throw std::range_error("I will not be copied");
    }
    int operator()() const { return 1; }
    bool throws;
};

} // namespace app

CEREAL_REGISTER_TYPE(app::Square)

namespace {

template <class T>
bool same(const T& a, const T& b) {
    return a == b;
}
template <class T>
bool same(const std::unique_ptr<T>& a, const std::unique_ptr<T>& b) {
    return (a == nullptr) == (b == nullptr) && (a == nullptr || same(*a, *b));
}
template <class T>
bool same(const std::shared_ptr<T>& a, const std::shared_ptr<T>& b) {
    return (a == nullptr) == (b == nullptr) && (a == nullptr || same(*a, *b));
}
template <class T>
bool same(const std::valarray<T>& a, const std::valarray<T>& b) {
    return std::ranges::equal(a, b);
}
template <class S, int O, class I>
bool same(const Eigen::SparseMatrix<S, O, I>& a, const Eigen::SparseMatrix<S, O, I>& b) {
    return a.toDense() == b.toDense();
}
template <class S, int D, int M, int O>
bool same(const Eigen::Transform<S, D, M, O>& a, const Eigen::Transform<S, D, M, O>& b) {
    return a.matrix() == b.matrix();
}

// One kind of value, as argument, as element of an argument and of a result, and as a result. `make`
// gives the same value each time, in any process. Two calls, because each takes a second to compile.
template <auto Make>
void check_kind(WorkerId where) {
    using T = decltype(Make());
    std::vector<T> several;
    several.push_back(Make());
    several.push_back(Make());
    const auto back = fetch_from(
        where,
        [](const T& one, std::vector<T> all) {
            return same(one, Make()) ? std::move(all) : std::vector<T>();
        },
        Make(), several);
    DEMAND(back.size() == 2 && same(back[0], Make()) && same(back[1], Make()));
    DEMAND(same(fetch_from(where, [] { return Make(); }), Make()));
}

template <auto... Makes>
void check_kinds() {
    in_session(1, [] {
        for (const WorkerId where : {workers().front(), myid()})
            (check_kind<Makes>(where), ...);
    });
}

// A captured value of kind (a), and simple aggregates of such.
template <auto Make>
void check_capture(WorkerId where) {
    const auto value = Make();
    DEMAND(fetch_from(where, [value] { return same(value, Make()); }));
}

Eigen::SparseMatrix<double> sparse() {
    Eigen::SparseMatrix<double> matrix(5, 4);
    matrix.insert(1, 0) = 1.5;
    matrix.insert(4, 3) = 2.5;
    matrix.makeCompressed();
    return matrix;
}

template <class Value>
std::stack<Value> stack_of(Value value) {
    std::stack<Value> stack;
    stack.push(std::move(value));
    return stack;
}

using namespace std::chrono_literals;
using Variant = std::variant<std::monostate, int, std::string, std::vector<double>>;

} // namespace

TEST_CASE("plain values, times and text") {
    check_kinds<[] { return 42; }, [] { return true; },
                [] {
                    return app::Plain{1, 2.5};
                },
                [] { return app::Colour::blue; }, [] { return std::byte{7}; },
                [] { return std::complex<double>(1, 2); },
                [] { return std::chrono::nanoseconds(17ns); },
                [] { return std::chrono::system_clock::time_point(1h); },
                [] { return std::string("text"); }, [] { return std::string(100'000, 'x'); },
                [] { return std::u8string(u8"ä"); }, [] { return std::filesystem::path("/a/b"); },
                [] { return std::make_error_code(std::errc::io_error); }>();
}

TEST_CASE("containers, and containers of containers") {
    check_kinds<[] { return std::vector<double>(1000, 0.5); },
                [] {
                    return std::vector<bool>{true, false};
                },
                [] {
                    return std::vector<std::vector<std::string>>{{"a", ""}, {}};
                },
                [] {
                    return std::deque<int>{1, 2};
                },
                [] { return std::list<std::string>{"a"}; },
                [] {
                    return std::forward_list<int>{1, 2};
                },
                [] {
                    return std::valarray<float>{1, 2};
                },
                [] {
                    return std::array<std::string, 2>{"a", "b"};
                },
                [] {
                    return std::set<std::string>{"a", "b"};
                },
                [] {
                    return std::multimap<int, std::string>{{1, "a"}, {1, "b"}};
                },
                [] {
                    return std::unordered_map<std::string, int>{{"a", 1}};
                },
                [] {
                    return std::unordered_multiset<int>{1, 1};
                },
                [] { return stack_of<std::string>("a"); },
                [] {
                    return std::queue<int>({1, 2});
                }>();
}

TEST_CASE("pairs, tuples, optional, variant and smart pointers") {
    check_kinds<[] { return std::pair(std::string("a"), 1); },
                [] { return std::tuple(1, std::string("a"), std::vector<int>{2}); },
                [] { return std::optional<std::string>("a"); }, [] { return std::optional<int>(); },
                [] { return Variant("text"); },
                [] { return std::make_unique<std::string>("owned"); },

                [] { return std::make_shared<std::vector<int>>(3, 4); }>();
}

TEST_CASE("matrices of every kind") {
    check_kinds<[] { return Eigen::MatrixXd(Eigen::MatrixXd::Ones(7, 5)); },
                [] { return Eigen::Matrix3f(Eigen::Matrix3f::Ones()); },
                [] { return Eigen::VectorXi(Eigen::VectorXi::Ones(100)); },
                [] {
                    using Rows =
                        Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
                    return Rows(Rows::Ones(2, 3));
                },
                [] { return sparse(); }, [] { return Eigen::Isometry3d::Identity(); }>();
}

TEST_CASE("types with functions of cereal, and those that only move") {
    check_kinds<[] {
        return app::Person{"Ada", {{"maths", {1, 2}}}};
    },
                [] { return app::Ticket(5); }, [] { return std::make_unique<app::Ticket>(6); }>();
    in_session(1, [] {
        const auto tickets = pmap([](int n) { return app::Ticket(n + 1); }, std::vector{1, 2, 3});
        DEMAND(tickets.size() == 3 && *tickets[2].number == 4);
        Future<app::Ticket> put_once;
        put_once.put(app::Ticket(9));
        DEMAND(*put_once.get().number == 9);
    });
}

TEST_CASE("polymorphic objects, shared objects and cycles") {
    in_session(1, [] {
        auto square = std::make_unique<app::Square>();
        square->size = 3;
        const std::unique_ptr<app::Shape> shape = std::move(square);
        DEMAND(fetch([](std::unique_ptr<app::Shape> s) { return s->corners(); }, shape) == 4);
        const auto back = fetch([](std::unique_ptr<app::Shape> s) { return s; }, shape);
        DEMAND(dynamic_cast<app::Square&>(*back).size == 3);

        const auto text = std::make_shared<std::string>("one");
        const auto both = fetch([](std::vector<std::shared_ptr<std::string>> all) { return all; },
                                std::vector{text, text});
        DEMAND(both[0] == both[1]);
    });
}

TEST_CASE("captures of plain values, of aggregates of them, and of handles") {
    in_session(1, [] {
        for (const WorkerId where : {workers().front(), myid()}) {
            check_capture<[] { return 42; }>(where);
            check_capture<[] { return app::Plain{1, 2.5}; }>(where);
            check_capture<[] { return std::pair(1, 2.5); }>(where);
            check_capture<[] { return std::array{1, 2, 3}; }>(where);
            check_capture<[] { return std::optional<double>(2.5); }>(where);
            check_capture<[] { return Eigen::Vector3d(1, 2, 3); }>(where);
            const SharedArray<double> array(3);
            fetch_from(where, [array] { array[1] = 7; });
            DEMAND(array[1] == 7);
            const Future<int> future = spawn([] { return 5; });
            DEMAND(fetch_from(where, [future] { return fetch(future); }) == 5);
        }
    });
}

TEST_CASE("views in containers arrive as what they show") {
    in_session(1, [] {
        const std::vector<const char*> words{"one", "two"};
        DEMAND(fetch([](const std::vector<std::string>& all) { return all.back(); }, words) ==
               "two");
        DEMAND(fetch([](std::string_view text) { return std::pair(text, text.size()); },
                     std::string(1000, 'x')) ==
               std::pair(std::string(1000, 'x'), std::size_t{1000}));
        DEMAND(fetch([](Eigen::Map<const Eigen::SparseMatrix<double>> m) { return m.sum(); },
                     sparse()) == 4);
    });
}

TEST_CASE("what cannot be encoded is an error at the caller, and nothing is left behind") {
    in_session(1, [] {
        const auto before = counters();
        app::Stubborn stubborn;
        stubborn.when_written = true;
        const auto take = [](const app::Stubborn& s) { return s.text; };
        for (int i = 0; i < 100; ++i) {
            DEMAND(has(thrown_by<std::domain_error>([&] { fetch(take, stubborn); }), "written"));
            DEMAND(has(
                thrown_by<EncodeError>([] { fetch([](const app::Growing&) {}, app::Growing()); }),
                "serialize"));
            DEMAND(
                has(thrown_by<std::range_error>([] { fetch(app::ThrowingCopy(true)); }), "copied"));
        }
        DEMAND((counters() - before).tasks_spawned == 0);
    });
}

TEST_CASE("what cannot be decoded, or returned, is the caller's error and the worker lives") {
    in_session(1, [] {
        const WorkerId worker = workers().front();
        app::Stubborn stubborn;
        stubborn.when_read = true;
        for (int i = 0; i < 20; ++i) {
            DEMAND(has(thrown_by<std::domain_error>([&] {
                           fetch_from(
                               worker, [](const app::Stubborn& s) { return s.text; }, stubborn);
                       }),
                       "read"));
            DEMAND(has(thrown_by<std::domain_error>([&] {
                           fetch_from(worker, [] {
                               app::Stubborn result;
                               result.when_written = true;
                               return result;
                           });
                       }),
                       "written"));
            DEMAND(has(
                thrown_by<EncodeError>([&] { fetch_from(worker, [] { return app::Growing(); }); }),
                "serialize"));
        }
        DEMAND(fetch_from(worker, [] { return 7; }) == 7);
    });
}

TEST_CASE("an argument larger than the segment is an error, and the next call works") {
    SessionOptions options;
    options.workers = 1;
    options.capacity = std::size_t{128} << 20;
    const Outcome outcome = outcome_of(options, [] {
        const std::vector<double> huge(std::size_t{32} << 20);
        thrown_by<SharedMemoryExhausted>(
            [&] { fetch([](const std::vector<double>& v) { return v.size(); }, huge); });
        DEMAND(fetch([](const std::vector<double>& v) { return v.size(); },
                     std::vector<double>(100'000)) == 100'000);
    });
    INFO(outcome.errors);
    CHECK(outcome.exited_with(0));
}
