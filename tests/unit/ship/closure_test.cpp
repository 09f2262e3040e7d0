// Closures and handles, into a payload and out of it.
#include <array>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "dshm/ship/closure.hpp"
#include "dshm/ship/module_table.hpp"
#include "payload.hpp"
#include "support/catch.hpp"

namespace ship = dshm::ship;
using dshm::test::Payload;
using ship::ShippingScope;

namespace {

// A handle as dshm's own are: const members, a copy constructor that knows of shipping, nothing to
// assign.
class Handle {
public:
    using shipped_by_copy = void;

    explicit Handle(std::uint32_t index) : index_(index), address_(this) {}
    ~Handle() {} // not trivial, as that of a handle which counts its holders
    Handle(const Handle& other)
        : index_(other.index_), address_(this),
          arrived_(ShippingScope::current_receiving() != nullptr) {
        if (auto* scope = ShippingScope::current_sending())
            scope->add({7, index_, 100 + index_}, this, sizeof *this);
    }

    std::uint32_t index() const { return index_; }
    bool arrived() const { return arrived_; }
    bool in_place() const { return address_ == this; } // re-derived for where it is

private:
    const std::uint32_t index_;
    const void* const address_;
    const bool arrived_ = false;
};

struct Holder {
    Handle handle{0};
    int number = 0;
    template <class Archive>
    void serialize(Archive& archive) {
        archive(handle, number);
    }
};

template <class F>
ship::Footprint size_of(const F& function) {
    ship::Sizer sizer;
    ship::write_closure(sizer, function);
    return sizer.footprint();
}

template <class F>
Payload shipped(const F& function, ship::HandleList* handles = nullptr) {
    return Payload(size_of(function).size, [&](ship::Writer& writer) {
        writer.list_handles(handles);
        ship::write_closure(writer, function);
    });
}

template <class F>
F there_and_back(const F& function) {
    const Payload payload = shipped(function);
    ship::Reader reader = payload.reader();
    return ship::read_closure<F>(reader);
}

int three() { return 3; }

struct Overloaded {
    int operator()(int) const { return 1; }
    int operator()(double) const { return 2; }
};

// A closure type that captures by reference, without a dangling one.
auto by_reference(int& value) {
    return [&value] { return value; };
}

struct ThrowsWhenCopied {
    ThrowsWhenCopied() = default;
    ThrowsWhenCopied(const ThrowsWhenCopied&) { throw std::runtime_error("no copies today"); }
};

} // namespace

TEST_CASE("closures with plain captures cross") {
    const int a = static_cast<int>(std::string("x").size());
    const double b = 2.5;
    const std::array<int, 3> c{1, 2, 3};
    CHECK(there_and_back([a, b, c](int x) { return a + b + c[2] + x; })(10) == 16.5);
    CHECK(there_and_back([p = std::pair(1, 2), o = std::optional(3)] { return p.second + *o; })() ==
          5);
}

TEST_CASE("closures without state take no room") {
    CHECK(size_of([] { return 1; }).size == 0);
    CHECK(size_of(std::plus<>()).size == 0);
    CHECK(there_and_back([](int x) { return x + 1; })(1) == 2);
    CHECK(there_and_back(Overloaded())(1.0) == 2);
}

TEST_CASE("mutable closures start from the state they were sent with") {
    int calls = 5;
    auto count = [calls]() mutable { return ++calls; };
    CHECK(count() == 6);
    auto copy = there_and_back(count);
    CHECK(copy() == 7);
    CHECK(copy() == 8);
    CHECK(count() == 7);
}

TEST_CASE("functions cross by identity") {
    auto table = std::make_unique<ship::ModuleTable>();
    ship::ModuleRegistry registry(*table);
    registry.make_current();
    CHECK(there_and_back(&three)() == 3);
    CHECK(size_of(&three).size == 8);
}

TEST_CASE("handles in a closure are listed, and re-derived on arrival") {
    auto closure = [first = Handle(1), number = 5, second = Handle(2)] {
        return first.index() + second.index() + number;
    };
    ship::HandleList handles;
    const Payload payload = shipped(closure, &handles);
    REQUIRE(handles.size() == 2);
    CHECK(handles.view()[0] == ship::HandleRef{7, 1, 101});
    CHECK(handles.view()[1] == ship::HandleRef{7, 2, 102});

    ship::Reader reader = payload.reader();
    auto copy = ship::read_closure<decltype(closure)>(reader);
    CHECK(copy() == 8);
    CHECK(ShippingScope::current_sending() == nullptr);
    CHECK(ShippingScope::current_receiving() == nullptr);
}

TEST_CASE("measuring a payload copies no handle") {
    ship::HandleList handles;
    ship::Sizer sizer;
    sizer.list_handles(&handles);
    ship::write_closure(sizer, [h = Handle(1)] { return h.index(); });
    CHECK(handles.empty());
}

TEST_CASE("handles cross as values, also inside containers and types") {
    Holder holder;
    std::vector<Handle> several;
    several.reserve(2);
    several.emplace_back(3);
    several.emplace_back(4);
    const auto optional = std::optional<Handle>(std::in_place, 5);

    ship::HandleList handles;
    const auto fill = [&](ship::Writer& writer) {
        writer.list_handles(&handles);
        ship::encode(writer, Handle(9), several, optional, holder);
    };
    const Payload payload(ship::footprint(Handle(9), several, optional, holder).size, fill);
    CHECK(handles.size() == 5);

    ship::Reader reader = payload.reader();
    const Handle one = ship::decode<Handle>(reader);
    CHECK(one.index() == 9);
    CHECK(one.arrived());
    CHECK(one.in_place());
    CHECK(ship::decode<std::vector<Handle>>(reader).at(1).index() == 4);
    CHECK(ship::decode<std::optional<Handle>>(reader)->in_place());
    CHECK(ship::decode<Holder>(reader).handle.index() == 0);
    CHECK(reader.remaining() == 0);
}

TEST_CASE("the list of handles grows beyond its inline room") {
    ship::HandleList handles;
    for (std::uint32_t i = 0; i < 100; ++i)
        handles.add({1, i, i});
    REQUIRE(handles.size() == 100);
    REQUIRE(handles.view().size() == 100);
    for (std::uint32_t i = 0; i < 100; ++i)
        CHECK(handles.view()[i].index == i);
    handles.clear();
    CHECK(handles.view().empty());
    handles.add({1, 5, 5});
    CHECK(handles.view()[0].index == 5);
}

TEST_CASE("an inner scope hides an outer one") {
    CHECK(ShippingScope::current_sending() == nullptr);
    ShippingScope outer(ShippingScope::Mode::sending);
    {
        const ShippingScope inner(ShippingScope::Mode::receiving);
        CHECK(ShippingScope::current_sending() == nullptr);
        CHECK(ShippingScope::current_receiving() == &inner);
    }
    CHECK(ShippingScope::current_sending() == &outer);
    outer.add({1, 2, 3}, &outer, sizeof outer);
    CHECK(outer.handles().size() == 1);
}

TEST_CASE("a copy constructor that throws leaves no scope behind") {
    const ship::Trusted<ThrowsWhenCopied> closure;
    const Payload payload(sizeof closure);
    ship::Writer writer(payload.data(), payload.size());
    CHECK_THROWS_WITH(ship::copy_into(writer, closure), "no copies today");
    CHECK(ShippingScope::current_sending() == nullptr);
}

TEST_CASE("what a callable may hold is known at compile time") {
    int value = 1;
    auto reference = by_reference(value);
    auto map = [m = std::map<int, int>{{1, 2}}] { return m.size(); };
    auto tuple = [t = std::tuple(1, 2)] { return std::get<0>(t); };
    auto plain = [value] { return value; };
    auto handle = [h = Handle(1)] { return h.index(); };
    auto owner = [p = std::make_unique<int>(1)] { return *p; };

    STATIC_REQUIRE_FALSE(ship::ShippableClosure<decltype(reference)>);
    STATIC_REQUIRE_FALSE(ship::ShippableClosure<decltype(map)>);
    STATIC_REQUIRE_FALSE(ship::ShippableClosure<decltype(tuple)>);
    STATIC_REQUIRE_FALSE(ship::ShippableClosure<std::function<int()>>);
    STATIC_REQUIRE_FALSE(ship::ShippableClosure<decltype(owner)>);
    STATIC_REQUIRE(ship::ShippableClosure<decltype(plain)>);
    STATIC_REQUIRE(ship::ShippableClosure<decltype(handle)>);
    STATIC_REQUIRE(ship::ShippableClosure<decltype(&three)>);
    STATIC_REQUIRE(ship::ShippableClosure<decltype(dshm::trust(reference))>);
    STATIC_REQUIRE_FALSE(ship::Shippable<decltype(reference)>); // nor as an argument
    STATIC_REQUIRE(ship::Shippable<decltype(plain)>);
    CHECK(there_and_back(dshm::trust(reference))() == 1);
    CHECK(there_and_back(dshm::trust(tuple))() == 1);
}
