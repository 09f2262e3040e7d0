// The rest of what the standard library holds values in: adapters, pointers that share, paths,
// error codes, and views inside containers.
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <forward_list>
#include <limits>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <span>
#include <stack>
#include <string>
#include <string_view>
#include <system_error>
#include <typeindex>
#include <unordered_map>
#include <valarray>
#include <vector>

#include "dshm/ship/parameters.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;

namespace {

template <class T, class Wire = T>
Wire there_and_back(const T& value) {
    static_assert(ship::Shippable<Wire>);
    const Payload payload = packed(value);
    ship::Reader reader = payload.reader();
    Wire copy = ship::decode<Wire>(reader);
    CHECK(reader.remaining() == 0);
    return copy;
}

template <class T>
void check_round_trip(const T& value) {
    CHECK(there_and_back(value) == value);
}

template <class F, class... Args>
auto call(F function, const Args&... args) {
    const Payload payload = packed(args...);
    ship::Reader reader = payload.reader();
    return ship::invoke_decoded<ship::WireType<Args>...>(function, reader);
}

enum class Colour : unsigned char { red = 1, blue = 200 };
enum Plain { first, second };

// A tree whose children know their parent.
struct Branch {
    std::string name;
    std::vector<std::shared_ptr<Branch>> children;
    std::weak_ptr<Branch> parent;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(name, children, parent);
    }
};

struct Ring {
    int value = 0;
    std::shared_ptr<Ring> next;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(value, next);
    }
};

// Holds itself through a container, which can only be made when its parts are there.
struct Loop {
    std::shared_ptr<std::vector<Loop>> loops;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(loops);
    }
};

// A first member has the address of its object.
struct Outer {
    int inner = 7;
    std::string text = "outer";

    template <class Archive>
    void serialize(Archive& archive) {
        archive(inner, text);
    }
};

class Watched : public std::enable_shared_from_this<Watched> {
public:
    int value = 3;

    template <class Archive>
    void serialize(Archive& archive) {
        archive(value);
    }
};

struct NotMovable {
    std::atomic<int> value;
};

struct Trivial {
    int value;
    Trivial(int v) : value(v) {}
    Trivial(const Trivial&) = delete;
    Trivial(Trivial&&) = default;
};

} // namespace

TEST_CASE("sequences without random access cross") {
    check_round_trip(std::forward_list<int>{3, 1, 2});
    check_round_trip(std::forward_list<std::string>{});
    check_round_trip(std::forward_list<std::vector<int>>{{1}, {}, {2, 3}});
}

TEST_CASE("a valarray crosses") {
    const std::valarray<double> values{1, 2, 3};
    const auto copy = there_and_back(values);
    REQUIRE(copy.size() == 3);
    CHECK((copy == values).min());
    CHECK(there_and_back(std::valarray<int>()).size() == 0);
}

TEST_CASE("container adapters cross with their order") {
    std::stack<std::string> stack;
    stack.push("below");
    stack.push("above");
    check_round_trip(stack);
    std::queue<int> queue;
    for (const int value : {3, 1, 2})
        queue.push(value);
    check_round_trip(queue);

    std::priority_queue<int, std::vector<int>, std::greater<>> smallest;
    for (const int value : {3, 1, 2})
        smallest.push(value);
    auto copy = there_and_back(smallest);
    for (const int value : {1, 2, 3}) {
        CHECK(copy.top() == value);
        copy.pop();
    }
}

TEST_CASE("a damaged heap is a heap again") {
    const Payload payload = packed(std::vector<int>{1, 5, 9});
    ship::Reader reader = payload.reader();
    CHECK(ship::decode<std::priority_queue<int>>(reader).top() == 9);
}

TEST_CASE("times, paths, enumerators and text of every kind cross") {
    check_round_trip(std::chrono::system_clock::now());
    check_round_trip(std::chrono::steady_clock::now());
    check_round_trip(std::chrono::duration<double, std::ratio<3600>>(1.5));
    check_round_trip(std::chrono::year(2024) / 2 / 29);
    check_round_trip(std::filesystem::path("/usr/share/../lib"));
    check_round_trip(std::vector<std::filesystem::path>{"a", "", "b/c"});
    check_round_trip(Colour::blue);
    check_round_trip(std::map<Colour, Plain>{{Colour::red, second}});
    check_round_trip(std::u8string(u8"ä"));
    check_round_trip(std::u16string(u"ö"));
    check_round_trip(std::u32string(U"ü"));
    check_round_trip(std::byte{255});
    check_round_trip(std::array<std::string, 0>{});
    check_round_trip(std::array<int, 0>{});
    check_round_trip(std::tuple<>());
    check_round_trip(std::numeric_limits<__int128>::max());
}

TEST_CASE("error codes keep their category") {
    check_round_trip(std::make_error_code(std::errc::io_error));
    check_round_trip(std::error_code(5, std::system_category()));
    check_round_trip(std::make_error_code(std::io_errc::stream));
    check_round_trip(std::make_error_condition(std::errc::timed_out));
    check_round_trip(std::vector<std::error_code>{{}, {2, std::generic_category()}});
}

TEST_CASE("an error code of a category that only one process knows is refused") {
    struct Own : std::error_category {
        const char* name() const noexcept override { return "generic"; } // and an impostor
        std::string message(int) const override { return "own"; }
    };
    static const Own own;
    CHECK_THROWS_AS(ship::footprint(std::error_code(1, own)), dshm::EncodeError);
    const Payload payload = packed(1, std::string("nobody's"));
    ship::Reader reader = payload.reader();
    CHECK_THROWS_AS(ship::decode<std::error_code>(reader), dshm::DecodeError);
}

TEST_CASE("pointers to standard types cross") {
    CHECK(*there_and_back<std::shared_ptr<std::vector<int>>>(
              std::make_shared<std::vector<int>>(3, 7)) == std::vector<int>{7, 7, 7});
    CHECK(*there_and_back<std::shared_ptr<const std::string>>(
              std::make_shared<const std::string>("constant")) == "constant");
    CHECK(there_and_back(std::shared_ptr<int>()) == nullptr);
    std::unique_ptr<std::map<int, std::unique_ptr<double>>> nested =
        std::make_unique<std::map<int, std::unique_ptr<double>>>();
    nested->emplace(4, std::make_unique<double>(0.5));
    CHECK(*there_and_back(nested)->at(4) == 0.5);
    CHECK(there_and_back(std::weak_ptr<int>()).expired());
}

TEST_CASE("weak pointers arrive alive if something in the value holds the object") {
    const auto root = std::make_shared<Branch>();
    root->name = "root";
    for (const char* name : {"left", "right"}) {
        root->children.push_back(std::make_shared<Branch>());
        root->children.back()->name = name;
        root->children.back()->parent = root;
    }
    const auto copy = there_and_back(root);
    REQUIRE(copy->children.size() == 2);
    CHECK(copy->children[1]->name == "right");
    CHECK(copy->children[1]->parent.lock() == copy);

    const std::weak_ptr<Branch> alone = root;
    CHECK(there_and_back(alone).expired());
}

TEST_CASE("a cycle of shared pointers arrives as one") {
    const auto ring = std::make_shared<Ring>(Ring{1, std::make_shared<Ring>(Ring{2, nullptr})});
    ring->next->next = ring;
    const auto copy = there_and_back(ring);
    CHECK(copy->next->value == 2);
    CHECK(copy->next->next == copy);
    copy->next->next = nullptr;
    ring->next->next = nullptr;
}

TEST_CASE("a cycle that cannot be rebuilt is an error, not a crash") {
    Loop loop{std::make_shared<std::vector<Loop>>(1)};
    loop.loops->front() = loop;
    CHECK_THROWS_AS(ship::footprint(loop), dshm::EncodeError);
    loop.loops->clear();
}

TEST_CASE("an object and its first member stay two") {
    const auto outer = std::make_shared<Outer>();
    const std::shared_ptr<int> inner(outer, &outer->inner);
    const auto [object, member] = there_and_back(std::pair(outer, inner));
    CHECK(object->text == "outer");
    CHECK(*member == 7);
}

TEST_CASE("a shared number never makes one type pass for another") {
    using Both = std::pair<std::shared_ptr<char>, std::shared_ptr<Outer>>;
    const Payload payload = packed(std::uint32_t{1}, 'x', std::uint32_t{1});
    ship::Reader reader = payload.reader();
    CHECK_THROWS_AS(ship::decode<Both>(reader), dshm::DecodeError);
    const Payload unknown = packed(std::uint32_t{9});
    ship::Reader second = unknown.reader();
    CHECK_THROWS_AS(ship::decode<std::shared_ptr<int>>(second), dshm::DecodeError);
}

TEST_CASE("an object that shares itself can do so on arrival") {
    const auto copy = there_and_back(std::make_shared<Watched>());
    CHECK(copy->shared_from_this() == copy);
}

TEST_CASE("containers of views arrive as containers of what they show") {
    const std::string one = "one", two = "two";
    const std::vector<std::string_view> views{one, two};
    using Strings = std::vector<std::string>;
    CHECK(there_and_back<std::vector<std::string_view>, Strings>(views) == Strings{"one", "two"});

    const auto size = [](const auto& all) { return all.size(); };
    CHECK(call(size, std::vector<const char*>{"a", "b"}) == 2);
    CHECK(call([](const Strings& all) { return all.back(); }, views) == "two");
    CHECK(call([](const std::vector<std::string_view>& all) { return std::string(all.back()); },
               Strings{"a", "b"}) == "b");
    CHECK(call([](const std::pair<std::string, int>& p) { return p.first; },
               std::pair("text", 1)) == "text");
    CHECK(call([](const std::map<std::string, int>& all) { return all.at("b"); },
               std::map<std::string_view, int>{{"a", 1}, {"b", 2}}) == 2);
    CHECK(call([](const std::optional<std::string>& text) { return *text; },
               std::optional<std::string_view>("here")) == "here");
    const std::vector<double> numbers{1, 2};
    CHECK(call([](const std::vector<std::vector<double>>& rows) { return rows[1].size(); },
               std::vector<std::span<const double>>{numbers, numbers}) == 2);
    CHECK(call([](const std::vector<std::span<const double>>& rows) { return rows[1][1]; },
               std::vector<std::vector<double>>{numbers, numbers}) == 2);
}

TEST_CASE("a result never shows what has gone") {
    const auto pair =
        call([](std::string_view text) { return std::pair(text, 1); }, std::string(100, 'x'));
    STATIC_REQUIRE(std::is_same_v<decltype(pair), const std::pair<std::string, int>>);
    CHECK(pair.first == std::string(100, 'x'));
    const auto maybe = call([](std::string_view text) { return std::optional(text); }, "a");
    STATIC_REQUIRE(std::is_same_v<decltype(maybe), const std::optional<std::string>>);
}

TEST_CASE("move-only values of trivial bytes cross") {
    CHECK(call([](Trivial&& value) { return value.value; }, Trivial(4)) == 4);
}

TEST_CASE("what only looks like bytes is refused") {
    STATIC_REQUIRE_FALSE(ship::Shippable<std::vector<int>::iterator>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::map<int, int>::const_iterator>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::type_index>);
    STATIC_REQUIRE_FALSE(ship::Shippable<NotMovable>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::unique_ptr<int[]>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::shared_ptr<void>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::unique_ptr<int, void (*)(int*)>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::shared_ptr<std::vector<int*>>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::valarray<std::string>>);
    STATIC_REQUIRE_FALSE(ship::Shippable<std::vector<const char*>>); // they arrive as strings
}
