// Values there and back: what arrives equals what was sent, and takes exactly the room that was
// asked for.
#include <array>
#include <bitset>
#include <chrono>
#include <complex>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <variant>
#include <vector>

#include "dshm/ship/codec.hpp"
#include "dshm/ship/module_table.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;
using dshm::test::there_and_back;

namespace {

template <class T>
void check_round_trip(const T& value) {
    CHECK(there_and_back(value) == value);
}

struct Point {
    double x;
    double y;
    bool operator==(const Point&) const = default;
};

struct Person {
    std::string name;
    std::vector<Point> path;
    std::map<std::string, std::vector<int>> scores;
    int years[3] = {};

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name, path, scores, years);
    }
    bool operator==(const Person& other) const {
        return name == other.name && path == other.path && scores == other.scores &&
               std::equal(years, years + 3, other.years);
    }
};

// Behind a base class, with names, and private.
class Employee : public Person {
public:
    Employee() = default;
    Employee(Person person, int number) : Person(std::move(person)), number_(number) {}
    bool operator==(const Employee&) const = default;

private:
    friend class cereal::access;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(cereal::base_class<Person>(this), cereal::make_nvp("number", number_));
    }

    int number_ = 0;
};

// save and load apart, and a count written by hand.
struct Countdown {
    std::list<int> numbers;

    template <class Archive>
    void save(Archive& archive) const {
        archive(cereal::make_size_tag(static_cast<cereal::size_type>(numbers.size())));
        for (const int number : numbers)
            archive(number);
    }
    template <class Archive>
    void load(Archive& archive) {
        cereal::size_type size = 0;
        archive(cereal::make_size_tag(size));
        numbers.resize(size);
        for (int& number : numbers)
            archive(number);
    }
    bool operator==(const Countdown&) const = default;
};

// Nobody but cereal can make one from nothing.
class Closed {
public:
    explicit Closed(std::string text) : text_(std::move(text)) {}
    bool operator==(const Closed&) const = default;

private:
    friend class cereal::access;
    Closed() = default;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(text_);
    }

    std::string text_;
};

struct Minimal {
    std::string text;

    template <class Archive>
    std::string save_minimal(const Archive&) const {
        return text;
    }
    template <class Archive>
    void load_minimal(const Archive&, const std::string& value) {
        text = value;
    }
    bool operator==(const Minimal&) const = default;
};

// Has cereal functions that write nothing at all.
struct Nothing {
    std::shared_ptr<int> not_sent;

    template <class Archive>
    void serialize(Archive&) {}
    bool operator==(const Nothing&) const = default;
};

struct Tree {
    int value = 0;
    std::vector<Tree> children;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(value, children);
    }
    bool operator==(const Tree&) const = default;
};

struct Chain {
    int value = 0;
    std::unique_ptr<Chain> next;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(value, next);
    }
};

struct MoveOnly {
    std::unique_ptr<int> value;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(value);
    }
};

// Gives more each time it is asked.
struct Growing {
    mutable std::size_t times = 0;
    std::string not_sent;

    template <class Archive>
    void serialize(Archive& archive) {
        std::string text(8 * ++times, 'x');
        archive(text);
    }
};

struct Unlucky {
    Unlucky() = default;
    explicit Unlucky(int) { throw std::runtime_error("unlucky"); }
    std::vector<Minimal> members;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(members);
    }
};

struct OverAligned {
    alignas(128) double value;
    bool operator==(const OverAligned&) const = default;
};

struct HoldsReference {
    int& target;
};

int doubled(int value) { return 2 * value; }

struct Counter {
    explicit Counter(int value) : start(value) {}
    virtual ~Counter() = default;
    int plus(int value) { return start + value; }
    virtual int times(int value) const { return start * value; }

    int start;
};

} // namespace

TEST_CASE("plain values cross as their bytes") {
    check_round_trip(42);
    check_round_trip('x');
    check_round_trip(true);
    check_round_trip(-1.5L);
    check_round_trip(Point{1.0, -2.0});
    check_round_trip(std::chrono::milliseconds(17));
    check_round_trip(std::complex<float>(1, 2));
    check_round_trip(std::bitset<70>(0x5a5a));
    check_round_trip(std::pair(1, 2.5));
    check_round_trip(std::tuple(1, 2.5, 'c'));
    check_round_trip(std::array{1, 2, 3});
    check_round_trip(std::array{std::pair(1, 2.0), std::pair(3, 4.0)});
    check_round_trip(OverAligned{3.0});
    check_round_trip(ship::Unit{});
}

TEST_CASE("strings and runs of plain values cross") {
    check_round_trip(std::string());
    check_round_trip(std::string("a string with a \0 in it", 23));
    check_round_trip(std::string(10'000, 'x'));
    check_round_trip(std::wstring(L"wide"));
    check_round_trip(std::vector<double>());
    check_round_trip(std::vector<double>{1, 2, 3});
    check_round_trip(std::vector<Point>(1000, Point{1, 2}));
    check_round_trip(std::vector<std::pair<int, double>>{{1, 2.0}, {3, 4.0}});
    check_round_trip(std::vector<bool>{true, false, true});
    check_round_trip(std::vector<std::byte>(77, std::byte{7}));
}

TEST_CASE("containers of containers cross") {
    check_round_trip(std::vector<std::string>{"one", "", "three"});
    check_round_trip(std::vector<std::vector<double>>{{1, 2}, {}, {3}});
    check_round_trip(std::vector<std::vector<std::vector<char>>>{{{'a'}, {}}, {}});
    check_round_trip(std::deque<int>{1, 2, 3});
    check_round_trip(std::list<std::string>{"a", "b"});
    check_round_trip(std::set<std::string>{"a", "b"});
    check_round_trip(std::multiset<int>{1, 1, 2});
    check_round_trip(std::map<int, double>{{1, 1.5}, {2, 2.5}});
    check_round_trip(std::map<int, bool>{{1, true}, {2, false}});
    check_round_trip(
        std::map<std::string, std::map<int, std::vector<double>>>{{"a", {{1, {1, 2}}}}, {"b", {}}});
    check_round_trip(std::multimap<int, std::string>{{1, "a"}, {1, "b"}});
    check_round_trip(std::unordered_map<std::string, int>{{"a", 1}, {"b", 2}});
    check_round_trip(std::unordered_set<int>{1, 2, 3});
    check_round_trip(std::array<std::string, 2>{"a", "b"});
    check_round_trip(std::pair<std::string, std::vector<int>>{"a", {1, 2}});
    check_round_trip(std::tuple<int, std::string, std::vector<std::string>>{1, "a", {"b", "c"}});
}

TEST_CASE("optional and variant cross, with or without a value") {
    check_round_trip(std::optional<int>());
    check_round_trip(std::optional<int>(3));
    check_round_trip(std::optional<std::string>("three"));
    using Variant = std::variant<std::monostate, int, std::string, std::vector<double>>;
    check_round_trip(Variant());
    check_round_trip(Variant(4));
    check_round_trip(Variant("four"));
    check_round_trip(
        std::vector<Variant>{Variant(1), Variant("two"), Variant(std::vector<double>{3})});
}

TEST_CASE("types with cereal functions cross, with everything in them") {
    const Person person{"Ada", {{1, 2}, {3, 4}}, {{"maths", {1, 1}}, {"art", {}}}, {1815, 1852, 0}};
    check_round_trip(person);
    check_round_trip(std::vector<Person>{person, {}, person});
    check_round_trip(Employee(person, 7));
    check_round_trip(Countdown{{3, 2, 1}});
    check_round_trip(Closed("shop"));
    check_round_trip(std::vector<Closed>{Closed("a"), Closed("b")});
    check_round_trip(Minimal{"least"});
    check_round_trip(std::map<std::string, Minimal>{{"a", {"b"}}});
    check_round_trip(std::optional<Person>(person));
    check_round_trip(Tree{1, {{2, {}}, {3, {{4, {}}}}}});
}

TEST_CASE("a type that writes nothing still counts") {
    check_round_trip(std::vector<Nothing>(1000));
    check_round_trip(std::pair<Nothing, int>({}, 3));
}

TEST_CASE("smart pointers cross") {
    CHECK(there_and_back(std::make_shared<std::string>("shared")) != nullptr);
    const std::unique_ptr<int> none;
    const Payload empty = packed(none);
    ship::Reader reader = empty.reader();
    CHECK(ship::decode<std::unique_ptr<int>>(reader) == nullptr);

    const Payload full = packed(MoveOnly{std::make_unique<int>(5)});
    ship::Reader second = full.reader();
    CHECK(*ship::decode<MoveOnly>(second).value == 5);
}

TEST_CASE("a shared object stays one object within a value") {
    const auto one = std::make_shared<std::string>("one");
    const auto copy = there_and_back(std::vector{one, one, std::make_shared<std::string>("two")});
    CHECK(copy[0] == copy[1]);
    CHECK(copy[0] != copy[2]);
    CHECK(*copy[0] == "one");

    const Payload twice = packed(one, one); // two values are two objects
    ship::Reader reader = twice.reader();
    const auto first = ship::decode<std::shared_ptr<std::string>>(reader);
    CHECK(*ship::decode<std::shared_ptr<std::string>>(reader) == *first);
}

TEST_CASE("several values lie one after another") {
    const Payload payload =
        packed(1, "two", std::vector<double>{3}, 'x', Person{"four", {}, {}, {}}, 5.0);
    ship::Reader reader = payload.reader();
    CHECK(ship::decode<int>(reader) == 1);
    CHECK(ship::decode<std::string>(reader) == "two");
    CHECK(ship::decode<std::vector<double>>(reader) == std::vector<double>{3});
    CHECK(ship::decode<char>(reader) == 'x');
    CHECK(ship::decode<Person>(reader).name == "four");
    CHECK(ship::decode<double>(reader) == 5.0);
    CHECK(reader.remaining() == 0);
}

TEST_CASE("small values need no more alignment than a task record has; long runs want a line") {
    CHECK(ship::footprint(1, 2.0, OverAligned{3}, std::string("short")).alignment == 8);
    CHECK(ship::footprint(std::vector<double>(100)).alignment == 64);
    CHECK(ship::footprint(1) == ship::Footprint{4, 8});
    CHECK(ship::footprint(std::vector<double>{1, 2}) == ship::Footprint{24, 8});
    CHECK(ship::footprint() == ship::Footprint{0, 8});
}

TEST_CASE("views are read in place and aligned") {
    const Payload payload =
        packed(std::string("text"), std::vector<double>(100, 2.0), std::vector<int>{1, 2, 3});
    ship::Reader reader = payload.reader();
    const auto text = ship::decode<std::string_view>(reader);
    const auto numbers = ship::decode<std::span<const double>>(reader);
    const auto three = ship::decode<std::span<const int, 3>>(reader);

    CHECK(text == "text");
    CHECK(payload.contains(text.data()));
    CHECK(payload.contains(numbers.data()));
    CHECK(numbers.size() == 100);
    CHECK(numbers[99] == 2.0);
    CHECK(reinterpret_cast<std::uintptr_t>(numbers.data()) % 64 == 0);
    CHECK(three[2] == 3);
}

TEST_CASE("a span of fixed extent refuses another length") {
    const Payload payload = packed(std::vector<int>{1, 2, 3});
    ship::Reader reader = payload.reader();
    CHECK_THROWS_AS((ship::decode<std::span<const int, 4>>(reader)), dshm::DecodeError);
}

TEST_CASE("views are written as what they show") {
    const std::vector<int> numbers{1, 2, 3};
    const char* text = "pointer";
    char array[16] = "array";
    const Payload payload = packed(std::span(numbers), text, array, std::string_view("view"));
    ship::Reader reader = payload.reader();
    CHECK(ship::decode<std::vector<int>>(reader) == numbers);
    CHECK(ship::decode<std::string>(reader) == "pointer");
    CHECK(ship::decode<std::string>(reader) == "array");
    CHECK(ship::decode<std::string>(reader) == "view");
}

TEST_CASE("functions and member functions cross by identity") {
    auto table = std::make_unique<ship::ModuleTable>();
    ship::ModuleRegistry registry(*table);
    registry.make_current();

    using Function = int (*)(int);
    CHECK(there_and_back<Function>(&doubled) == &doubled);
    CHECK(there_and_back<Function>(nullptr) == nullptr);
    CHECK(there_and_back(std::vector<Function>{&doubled, nullptr}).front()(21) == 42);

    Counter counter(5);
    const auto plus = there_and_back(&Counter::plus);
    const auto times = there_and_back(&Counter::times);
    const int Counter::*start = there_and_back(&Counter::start);
    CHECK((counter.*plus)(1) == 6);
    CHECK((counter.*times)(3) == 15);
    CHECK(counter.*start == 5);
}

TEST_CASE("what cannot cross is known at compile time") {
    STATIC_REQUIRE_FALSE(ship::Shippable<int*>);
    STATIC_REQUIRE_FALSE(ship::Shippable<const void*>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::vector<int*>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::map<int, std::function<void()>>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::reference_wrapper<int>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<HoldsReference>);
    STATIC_REQUIRE_FALSE(ship::Shippable<const char*>); // it can be sent, and arrives as a string
    STATIC_REQUIRE(ship::Shippable<std::vector<std::unique_ptr<std::string>>>);
}

TEST_CASE("values that cannot be written say why") {
    const char* null = nullptr;
    CHECK_THROWS_AS(ship::footprint(null), std::invalid_argument);

    std::variant<std::string, Unlucky> valueless;
    CHECK_THROWS(valueless.emplace<Unlucky>(13));
    CHECK_THROWS_AS(ship::footprint(valueless), dshm::EncodeError);
}

TEST_CASE("a value that grows between the two passes is an error") {
    const Growing growing;
    const auto need = ship::footprint(growing);
    const Payload payload(need.size);
    ship::Writer writer(payload.data(), payload.size());
    CHECK_THROWS_AS(ship::encode(writer, growing), dshm::EncodeError);
}

TEST_CASE("nesting beyond the stack is an error, not a crash") {
    Chain chain;
    for (int i = 0; i < 1'000'000; ++i) {
        auto next = std::make_unique<Chain>();
        next->next = std::move(chain.next);
        chain.next = std::move(next);
    }
    CHECK_THROWS_AS(ship::footprint(chain), dshm::EncodeError);
    while (chain.next) // unlinks without recursion
        chain.next = std::move(chain.next->next);
}
