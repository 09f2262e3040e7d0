// The capture guard: what a closure may hold, what is translated and what is refused, with which
// words.
#include <sys/mman.h>

#include <any>
#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "dshm/ship/closure.hpp"
#include "dshm/ship/module_table.hpp"
#include "payload.hpp"
#include "support/catch.hpp"
#include "support/sanitizers.hpp"

namespace ship = dshm::ship;
using dshm::test::contains;
using dshm::test::Payload;

namespace {

// What a process of a session has.
struct Registry {
    Registry() { registry.make_current(); }
    std::unique_ptr<ship::ModuleTable> table = std::make_unique<ship::ModuleTable>();
    ship::ModuleRegistry registry{*table};
};

template <class F>
Payload shipped(const F& function, ship::HandleList* handles = nullptr) {
    ship::Sizer sizer;
    ship::write_closure(sizer, function);
    Payload payload(sizer.footprint().size, [&](ship::Writer& writer) {
        writer.list_handles(handles);
        ship::write_closure(writer, function);
        CHECK(writer.footprint() == sizer.footprint());
    });
    return Payload(payload, payload.size());
}

template <class F>
F received(const Payload& payload) {
    ship::Reader reader = payload.reader();
    F function = ship::read_closure<F>(reader);
    CHECK(reader.remaining() == 0);
    return function;
}

template <class F>
F there_and_back(const F& function) {
    return received<F>(shipped(function));
}

// The sentence of the refusal.
template <class F>
std::string refusal(const F& function) {
    try {
        shipped(function);
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
    return "not refused";
}

int counter_in_image = 41;
int double_of(int x) { return 2 * x; }
int triple_of(int x) { return 3 * x; }

// A handle whose bytes look like private addresses, and are nobody's business.
class Handle {
public:
    using shipped_by_copy = void;

    explicit Handle(int number) : self_(this), number_(number) {}
    Handle(const Handle& other) : self_(this), number_(other.number_) {
        if (auto* scope = ship::ShippingScope::current_sending())
            scope->add({7, 0, 0}, this, sizeof *this);
    }
    ~Handle() {}
    int number() const { return self_ != nullptr ? number_ : -1; }

private:
    const void* self_;
    int number_;
};

// A callable of dshm's own making would look so.
struct Pair {
    using shipped_by_parts = ship::Parts<ship::Trusted<int (*)()>, int (*)(int)>;
    ship::Trusted<int (*)()> first;
    int (*second)(int);
    void visit_parts(auto&& visit) const { visit(first, second); }
};

// Counts how many copies of itself there are.
struct Counted {
    explicit Counted(int& alive) : alive_(&alive) { ++*alive_; }
    Counted(const Counted& other) : alive_(other.alive_) { ++*alive_; }
    ~Counted() { --*alive_; }
    int* alive_;
};

struct Member {
    int value = 5;
    auto by_this() const {
        return [this] { return value; };
    }
};

// The address sanitizer keeps the locals of what it looks after elsewhere than on the stack.
DSHM_UNSANITIZED std::string refusal_of_local() {
    int local = 1;
    return refusal([first = 1L, address = &local] { return first + *address; });
}

DSHM_UNSANITIZED std::string refusal_of_this() {
    const Member member;
    return refusal(member.by_this());
}

// Fresh memory of the kernel's, so that no earlier look can have seen it.
class Pages {
public:
    explicit Pages(int flags)
        : data_(static_cast<char*>(
              mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0))) {}
    ~Pages() { munmap(data_, size); }
    Pages(const Pages&) = delete;
    Pages& operator=(const Pages&) = delete;
    char* data() const { return data_; }

private:
    static constexpr std::size_t size = 1 << 16;
    char* data_;
};

} // namespace

TEST_CASE("numbers of all kinds are no addresses") {
    const Registry registry;
    const std::array<double, 4> reals{0.0, -1.5, 1e300, 2.5};
    const std::array<long, 6> integers{0, 1, -1, 29'000'000, 5'000'000'000, 1L << 62};
    const int* none = nullptr; // without a pointer among them nobody would look
    const auto closure = [reals, integers, none, flag = true, small = 'c'] {
        return reals[3] + static_cast<double>(integers[4]) + (flag ? 1 : 0) + small +
               (none == nullptr ? 0 : 1);
    };
    CHECK(there_and_back(closure)() == closure());
    int low = 7, high = 30'000; // together like an address that nobody has
    CHECK(there_and_back([low, high, none] { return low + high + (none == nullptr); })() == 30'008);
}

TEST_CASE("what holds no pointers by its type is not looked at") {
    const Registry registry;
    const auto numbers = [a = 1L, b = std::array<double, 3>(), c = true] { return a + b[0] + c; };
    const auto literal = [text = "text"] { return text; };
    // A constant has zeros for padding, also with compilers that cannot clear it.
    static constexpr auto either = [value = std::optional(1.5)] { return value.value(); };
    STATIC_REQUIRE(ship::detail::PointerFree<decltype(numbers)>);
    STATIC_REQUIRE_FALSE(ship::detail::PointerFree<decltype(literal)>);
    STATIC_REQUIRE_FALSE(
        ship::detail::PointerFree<std::decay_t<decltype(either)>>); // for all we know
    int local = 0;
    const auto address = reinterpret_cast<std::uintptr_t>(&local);
    CHECK(there_and_back([address] { return address; })() == address);
    CHECK(there_and_back(numbers)() == 2);
    CHECK(there_and_back(either)() == 1.5);
}

TEST_CASE("addresses of the stack are refused, with offset and remedy") {
    const Registry registry;
    int local = 1;
    const std::string text = refusal_of_local();
    CHECK_THAT(text, contains("dshm: this callable cannot be sent to another process"));
    CHECK_THAT(text, contains("offset 8 "));
    CHECK_THAT(text, contains("this process's stack"));
    CHECK_THAT(text, contains("pass it as an argument"));
    CHECK_THAT(text, contains("SharedArray"));
    CHECK_THAT(text, contains("dshm::trust(f)"));
    CHECK_THAT(refusal([address = &local] { return *address; }), contains("offset 0 "));
    CHECK_THAT(refusal_of_this(), contains("this process's stack"));
    std::array<int, 3> numbers{1, 2, 3};
    CHECK_THAT(refusal([view = std::span<int>(numbers)] { return view[0]; }), contains("stack"));
    CHECK_THAT(refusal([r = std::ref(local)] { return r.get(); }), contains("stack"));
}

TEST_CASE("addresses of the heap are refused") {
    const Registry registry;
    const std::vector<int> vector{1, 2, 3};
    CHECK_THAT(refusal([vector] { return vector[0]; }), contains("offset 0 "));
    const std::string text(100, 'x'), brief("brief");
    CHECK_THAT(refusal([text] { return text[0]; }), contains("offset 0 "));
    CHECK_THAT(refusal([brief] { return brief[0]; }), contains("offset 0 "));
    CHECK_THAT(refusal([n = 1L, view = std::string_view(text)] { return n + view.size(); }),
               contains("offset 16 "));
    const auto shared = std::make_shared<int>(3);
    CHECK_THAT(refusal([shared] { return *shared; }),
               contains("private memory") || contains("heap"));
    CHECK_THAT(refusal([any = std::any(std::string("any"))] { return any.has_value(); }),
               contains("cannot be sent"));
    const auto large = std::make_unique<std::array<char, 1 << 20>>();
    CHECK_THAT(refusal([address = large.get()] { return (*address)[0]; }),
               contains("private memory") || contains("heap"));
}

TEST_CASE("what owns nothing may pass") {
    const Registry registry;
    CHECK(there_and_back([v = std::vector<int>()] { return v.size(); })() == 0);
    CHECK(there_and_back([p = std::shared_ptr<int>()] { return p == nullptr; })());
    CHECK(there_and_back([p = static_cast<int*>(nullptr)] { return p == nullptr; })());
}

TEST_CASE("shared mappings are refused, whatever they are") {
    const Registry registry;
    const Pages pages(MAP_SHARED);
    CHECK_THAT(refusal([address = pages.data()] { return *address; }),
               contains("which other processes") || contains("a shared mapping"));
}

TEST_CASE("memory mapped after the first look is found") {
    const Registry registry;
    there_and_back([f = &double_of] { return f(1); }); // a table is there
    const Pages pages(MAP_PRIVATE);
    CHECK_THAT(refusal([address = pages.data()] { return *address; }), contains("private memory"));
}

TEST_CASE("memory that has gone is no memory") {
    const Registry registry;
    const char* address = nullptr;
    {
        const Pages pages(MAP_PRIVATE);
        address = pages.data();
        CHECK_THAT(refusal([address] { return address; }), contains("private memory"));
    }
    CHECK(there_and_back([address] { return address; })() == address);
}

TEST_CASE("functions, literals and globals are translated") {
    const Registry registry;
    const char* literal = "a literal";
    const auto closure = [f = &double_of, literal, n = 3L, global = &counter_in_image] {
        return std::string(literal) + std::to_string(f(static_cast<int>(n)) + *global);
    };
    const Payload payload = shipped(closure);
    CHECK(received<std::decay_t<decltype(closure)>>(payload)() == "a literal47");
    CHECK(received<std::decay_t<decltype(closure)>>(payload)() == "a literal47"); // read only

    // What crosses is the identity, not the address.
    std::uint64_t word = 0;
    std::memcpy(&word, payload.data(), sizeof word);
    CHECK(word == ship::function_id_of(reinterpret_cast<const void*>(&double_of)).bits);
    CHECK(there_and_back([view = std::string_view("view")] { return view; })() == "view");
    CHECK(there_and_back([f = &std::strlen] { return f("four"); })() == 4); // of a library
    static const Member member;
    CHECK(there_and_back(member.by_this())() == 5);
}

TEST_CASE("translations are those of the registry in force") {
    const auto closure = [f = &triple_of] { return f(2); };
    for (int session = 0; session < 3; ++session) {
        const Registry registry;
        if (session == 1) // another order of modules, so another identity
            ship::function_id_of(reinterpret_cast<const void*>(&std::strlen));
        CHECK(there_and_back(closure)() == 6);
    }
}

TEST_CASE("a closure of many words has a bitmap as long") {
    const Registry registry;
    std::array<int (*)(int), 1000> functions{};
    for (std::size_t i = 0; i < functions.size(); i += 3)
        functions[i] = i % 2 == 0 ? &double_of : &triple_of;
    const auto closure = [functions](std::size_t i) {
        return functions[i] == nullptr ? 0 : functions[i](1);
    };
    const auto copy = there_and_back(closure);
    for (std::size_t i = 0; i < functions.size(); ++i)
        CHECK(copy(i) == closure(i));
    int local = 0;
    std::array<long, 500> numbers{};
    CHECK_THAT(refusal([numbers, address = &local] { return numbers[0] + *address; }),
               contains("offset 4000 "));
}

TEST_CASE("handles are not looked into") {
    const Registry registry;
    ship::HandleList handles;
    const Handle first(1), second(2);
    const auto closure = [first, n = 3L, second, f = &double_of] {
        return first.number() + static_cast<int>(n) + f(second.number());
    };
    const Payload payload = shipped(closure, &handles);
    CHECK(handles.size() == 2);
    CHECK(received<std::decay_t<decltype(closure)>>(payload)() == 8);
    int local = 0;
    CHECK_THAT(refusal([first, address = &local] { return first.number() + *address; }),
               contains("offset 16 "));
}

TEST_CASE("padding is not looked at") {
    const Registry registry;
    const int* none = nullptr;
    const auto make = [none](bool flag) {
        return [none, flag] { return none == nullptr && flag; };
    };
    using F = decltype(make(true));
    alignas(F) std::array<std::byte, sizeof(F)> image;
    // Bytes of an address where the padding is.
    const void* address = image.data();
    std::memcpy(image.data() + 8, &address, sizeof address);
    const F* closure = ::new (static_cast<void*>(image.data())) F(make(true));
    CHECK(there_and_back(*closure)());
}

TEST_CASE("a closure that was asked about assignment is guarded as any other") {
    const Registry registry;
    const auto numbers = [a = 1L, b = 1.0] { return a + b; };
    const auto function = [f = &double_of, b = 2L] { return f(static_cast<int>(b)); };
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<decltype(numbers)>);
    STATIC_REQUIRE_FALSE(std::is_copy_assignable_v<decltype(function)>);
    CHECK(there_and_back(numbers)() == 2);
    CHECK(there_and_back(function)() == 4);
}

TEST_CASE("trust skips it all") {
    const Registry registry;
    int local = 6;
    CHECK(there_and_back(dshm::trust([address = &local] { return *address; }))() == 6);
    const auto trusted = dshm::trust([address = &local] { return address; });
    CHECK(shipped(trusted).size() == sizeof trusted);
}

TEST_CASE("a callable made of parts crosses as its parts") {
    const Registry registry;
    const Pair pair{{[] { return 4; }}, &triple_of};
    STATIC_REQUIRE(ship::ShippableClosure<Pair>);
    CHECK(there_and_back(pair).second(2) == 6);
    CHECK(there_and_back(pair).first() == 4);
}

TEST_CASE("what is refused leaves nothing behind") {
    const Registry registry;
    int alive = 0;
    {
        const Counted counted(alive);
        CHECK_THAT(refusal([counted] { return counted.alive_; }), contains("offset 0 "));
        CHECK(alive == 1);
    }
    const auto function = [f = &double_of, v = std::vector<int>(1000)] { return f(v[0]); };
    CHECK_THAT(refusal(function), contains("offset 8 ")); // and f is as it was in its destructor
}

TEST_CASE("threads look at the same time, while memory comes and goes") {
    const Registry registry;
    std::atomic<int> wrong{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&wrong] {
            for (int i = 0; i < 100; ++i) {
                const Pages pages(MAP_PRIVATE);
                const auto bad = [address = pages.data()] { return *address; };
                const auto good = [f = &double_of, i] { return f(i); };
                ship::Sizer sizer;
                ship::write_closure(sizer, good);
                const Payload payload(sizer.footprint().size);
                ship::Writer writer(payload.data(), payload.size());
                ship::write_closure(writer, good);
                ship::Reader reader = payload.reader();
                if (ship::read_closure<std::decay_t<decltype(good)>>(reader)() != 2 * i)
                    ++wrong;
                ship::Writer again(payload.data(), payload.size());
                try {
                    ship::write_closure(again, bad);
                    ++wrong;
                } catch (const std::invalid_argument&) {
                }
            }
        });
    for (std::thread& thread : threads)
        thread.join();
    CHECK(wrong == 0);
}
