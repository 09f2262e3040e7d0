// Arguments become parameters: by value, by reference, or as views in place.
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "dshm/ship/parameters.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::packed;
using dshm::test::Payload;

namespace {

// What a call with these arguments gives on the other side.
template <class F, class... Args>
auto call(F function, const Args&... args) {
    const Payload payload = packed(args...);
    ship::Reader reader = payload.reader();
    return ship::invoke_decoded<ship::WireType<Args>...>(function, reader);
}

double sum(std::span<const double> values) {
    double total = 0;
    for (const double value : values)
        total += value;
    return total;
}

std::size_t length(const std::string& text) { return text.size(); }

struct Account {
    int balance = 10;
    int after(int change) const noexcept { return balance + change; }
};

const std::vector<double> numbers{1, 2, 3};

} // namespace

TEST_CASE("a parameter decides how its argument arrives") {
    CHECK(call([](std::vector<double> v) { return v.size(); }, numbers) == 3);
    CHECK(call([](const std::vector<double>& v) { return v.size(); }, numbers) == 3);
    CHECK(call([](std::vector<double>&& v) { return std::vector<double>(std::move(v)).size(); },
               numbers) == 3);
    CHECK(call([](std::span<const double> v) { return v.size(); }, numbers) == 3);
    CHECK(call([](const auto& v) { return v.size(); }, numbers) == 3);
    CHECK(call([](std::string_view s) { return s.size(); }, std::string("four")) == 4);
    CHECK(call([](const std::string& s) { return s.size(); }, std::string_view("four")) == 4);
    CHECK(call([](const std::string& s) { return s; }, "literal") == "literal");
    CHECK(call([](std::vector<double> v) { return v.size(); }, std::span(numbers)) == 3);
    CHECK(call([](double d) { return d / 2; }, 3) == 1.5); // converts as in an ordinary call
}

TEST_CASE("views lie in the payload, values do not") {
    const Payload payload = packed(numbers, numbers, std::string("text"));
    ship::Reader reader = payload.reader();
    auto inspect = [&](std::span<const double> view, const std::vector<double>& value,
                       std::string_view text) {
        return payload.contains(view.data()) && !payload.contains(value.data()) &&
               payload.contains(text.data());
    };
    CHECK(ship::invoke_decoded<std::vector<double>, std::vector<double>, std::string>(inspect,
                                                                                      reader));
}

TEST_CASE("every kind of callable") {
    CHECK(call(&sum, numbers) == 6);
    CHECK(call(sum, numbers) == 6);
    CHECK(call(&length, "four") == 4);
    CHECK(call(std::plus<>(), 1, 2) == 3);
    CHECK(call(&Account::after, Account{10}, 5) == 15);
    CHECK(call(&Account::balance, Account{10}) == 10);
    CHECK(call([](int a) noexcept { return a; }, 1) == 1);
    CHECK(call([n = 0](int a) mutable { return n += a; }, 1) == 1);
    CHECK(call([] { return 7; }) == 7);
    CHECK(call([](auto... all) { return (all + ...); }, 1, 2, 3) == 6);
}

TEST_CASE("arguments are read in their order") {
    CHECK(call([](int a, std::string b, double c,
                  std::string d) { return b + d + std::to_string(a) + std::to_string(c); },
               1, "b", 2.5, "d") == "bd12.500000");
}

TEST_CASE("results are values") {
    auto longest = [](const std::string& a, const std::string& b) -> const std::string& {
        return a.size() < b.size() ? b : a;
    };
    STATIC_REQUIRE(std::is_same_v<decltype(call(longest, "a", "bb")), std::string>);
    CHECK(call(longest, "a", "bb") == "bb");
    CHECK(call([](std::string_view s) { return s.substr(1); }, std::string(100, 'x')) ==
          std::string(99, 'x'));
    CHECK(call([] { return "literal"; }) == "literal");
    STATIC_REQUIRE(std::is_void_v<decltype(call([](int) {}, 1))>);
}

TEST_CASE("a call that cannot be made is known at compile time") {
    auto changes = [](std::string& s) { s += "!"; };
    STATIC_REQUIRE_FALSE(ship::RemotelyInvocable<decltype(changes), std::string>);
    STATIC_REQUIRE_FALSE(ship::RemotelyInvocable<decltype(&sum), std::string>);
    STATIC_REQUIRE_FALSE(ship::RemotelyInvocable<decltype(&sum)>);
    STATIC_REQUIRE(ship::RemotelyInvocable<decltype(&sum), std::vector<double>>);
    STATIC_REQUIRE(ship::RemotelyInvocable<decltype(&length), const char*>);
}
