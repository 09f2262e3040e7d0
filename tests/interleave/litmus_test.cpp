// What the explorer of executions believes of the memory model: the small programs of the literature.
//
// For each, the outcomes that are found are compared with those that RC11 allows, weak ones included: an explorer that finds too
// few would prove anything.
//
// Sources: Alglave, Maranget, Tautschnig, "Herding cats", TOPLAS 2014 (names); Lahav et al., PLDI 2017 (which are allowed).

#include <array>
#include <set>
#include <string>

#include "catch.hpp"
#include "interleave/word.hpp"

using namespace interleave;
using Set = std::set<std::string>;
using enum std::memory_order;

namespace {

// Registers of a litmus program; what they hold in the end is its outcome.
struct Registers {
    std::array<std::uint64_t, 4> r{};
    void show(unsigned count) const {
        std::string text;
        for (unsigned i = 0; i < count; ++i)
            text += std::to_string(r[i]);
        observe(text);
    }
};

template <class Scenario>
Set outcomes() {
    const Report report = explore<Scenario>();
    INFO(report.failure);
    REQUIRE(report.failure.empty());
    REQUIRE(report.complete);
    return report.observed;
}
template <class Scenario>
std::string failure() {
    return explore<Scenario>().failure;
}

using Shared = Word<std::uint64_t>;

template <std::memory_order Store, std::memory_order Load, std::memory_order Fence>
struct StoreBuffering : Registers {
    static constexpr unsigned threads = 2;
    Shared x{}, y{};
    void thread(unsigned me) {
        Shared &mine = me == 0 ? x : y, &other = me == 0 ? y : x;
        mine.store(1, Store);
        fence(Fence);
        r[me] = other.load(Load);
    }
    void at_end() { show(2); }
};

template <std::memory_order Store, std::memory_order Load>
struct MessagePassing : Registers {
    static constexpr unsigned threads = 2;
    Shared data{}, flag{};
    void thread(unsigned me) {
        if (me == 0) {
            data.store(1, relaxed);
            flag.store(1, Store);
        } else {
            r[0] = flag.load(Load);
            r[1] = data.load(relaxed);
        }
    }
    void at_end() { show(2); }
};

struct MessagePassingByFences : Registers {
    static constexpr unsigned threads = 2;
    Shared data{}, flag{};
    void thread(unsigned me) {
        if (me == 0) {
            data.store(1, relaxed);
            fence(release);
            flag.store(1, relaxed);
        } else {
            r[0] = flag.load(relaxed);
            fence(acquire);
            r[1] = data.load(relaxed);
        }
    }
    void at_end() { show(2); }
};

// Two readers see two independent writes.
template <std::memory_order Store, std::memory_order Load, std::memory_order Fence>
struct IndependentReads : Registers {
    static constexpr unsigned threads = 4;
    Shared x{}, y{};
    void thread(unsigned me) {
        if (me < 2) {
            (me == 0 ? x : y).store(1, Store);
            return;
        }
        Shared &first = me == 2 ? x : y, &second = me == 2 ? y : x;
        r[2 * me - 4] = first.load(Load);
        fence(Fence);
        r[2 * me - 3] = second.load(Load);
    }
    void at_end() { show(4); }
};

template <std::memory_order Store>
struct TwoPlusTwoWrites : Registers {
    static constexpr unsigned threads = 2;
    Shared x{}, y{};
    void thread(unsigned me) {
        Shared &first = me == 0 ? x : y, &second = me == 0 ? y : x;
        first.store(1, Store);
        second.store(2, Store);
    }
    void at_end() {
        r = {x.load(relaxed), y.load(relaxed)};
        show(2);
    }
};

// Two readers of one location.
struct Coherence : Registers {
    static constexpr unsigned threads = 3;
    Shared x{};
    void thread(unsigned me) {
        if (me == 0) {
            x.store(1, relaxed);
            x.store(2, relaxed);
        } else {
            r[2 * me - 2] = x.load(relaxed);
            r[2 * me - 1] = x.load(relaxed);
        }
    }
    void at_end() { show(4); }
};

template <std::memory_order Order>
struct LoadBuffering : Registers {
    static constexpr unsigned threads = 2;
    Shared x{}, y{};
    void thread(unsigned me) {
        Shared &mine = me == 0 ? x : y, &other = me == 0 ? y : x;
        r[me] = mine.load(Order);
        other.store(1, Order);
    }
    void at_end() { show(2); }
};

// Write to read causality through a third thread.
template <std::memory_order Store, std::memory_order Load>
struct Causality : Registers {
    static constexpr unsigned threads = 3;
    Shared x{}, y{};
    void thread(unsigned me) {
        if (me == 0) {
            x.store(1, relaxed);
        } else if (me == 1) {
            r[0] = x.load(Load);
            y.store(1, Store);
        } else {
            r[1] = y.load(Load);
            r[2] = x.load(relaxed);
        }
    }
    void at_end() { show(3); }
};

// A read-modify-write, or another store, behind the releasing store that a reader wants to synchronise with.
template <bool ReadModifyWrite>
struct ReleaseSequence {
    static constexpr unsigned threads = 3;
    Data<int> data;
    Shared flag{};
    void thread(unsigned me) {
        if (me == 0) {
            data.write(1);
            flag.store(1, release);
            if (!ReadModifyWrite)
                flag.store(2, relaxed);
        } else if (me == 1) {
            if (ReadModifyWrite) {
                std::uint64_t expected = 1;
                flag.compare_exchange(expected, 2, relaxed, relaxed);
            }
        } else if (flag.load(acquire) == 2) {
            check(data.read() == 1, "the data are not there");
        }
    }
    void at_end() {}
};

template <std::memory_order Store, std::memory_order Load>
struct PlainData {
    static constexpr unsigned threads = 2;
    Data<int> data;
    Shared flag{};
    void thread(unsigned me) {
        if (me == 0) {
            data.write(1);
            flag.store(1, Store);
        } else if (flag.load(Load) == 1) {
            check(data.read() == 1, "the data are not there");
        }
    }
    void at_end() {}
};

struct Counter : Registers {
    static constexpr unsigned threads = 3;
    Shared x{};
    void thread(unsigned) {
        x.fetch_add(1, relaxed);
        x.fetch_add(1, relaxed);
    }
    void at_end() {
        r[0] = x.load(relaxed);
        show(1);
    }
};

// A seq_cst fence between relaxed reads, and a seq_cst read of what was not written so (RC11, figure 4: Z6.U).
struct Z6U : Registers {
    static constexpr unsigned threads = 3;
    Shared x{}, y{};
    void thread(unsigned me) {
        if (me == 0) {
            x.store(1, seq_cst);
            y.store(1, release);
        } else if (me == 1) {
            r[0] = y.fetch_add(1, seq_cst);
            r[1] = y.load(relaxed);
        } else {
            y.store(3, seq_cst);
            r[2] = x.load(seq_cst);
        }
    }
    void at_end() { show(3); }
};

// A futex: the sleeper looks at its word under the kernel's lock.
template <bool Wakes>
struct Sleeper {
    static constexpr unsigned threads = 2;
    Word<std::uint32_t> word{};
    void thread(unsigned me) {
        if (me == 0) {
            Sleep::sleep(word.address(), 0, {});
        } else {
            word.store(1, relaxed);
            if (Wakes)
                Sleep::wake_all(word.address());
        }
    }
    void at_end() {}
};

} // namespace

TEST_CASE("store buffering is seen, unless seq_cst forbids it") {
    const Set weak{"00", "01", "10", "11"}, strong{"01", "10", "11"};
    CHECK(outcomes<StoreBuffering<relaxed, relaxed, relaxed>>() == weak);
    CHECK(outcomes<StoreBuffering<release, acquire, relaxed>>() == weak);
    CHECK(outcomes<StoreBuffering<release, acquire, acq_rel>>() == weak);
    CHECK(outcomes<StoreBuffering<seq_cst, acquire, relaxed>>() == weak);
    CHECK(outcomes<StoreBuffering<seq_cst, seq_cst, relaxed>>() == strong);
    CHECK(outcomes<StoreBuffering<relaxed, relaxed, seq_cst>>() == strong);
}

TEST_CASE("a message arrives by release and acquire, and only so") {
    const Set weak{"00", "01", "10", "11"}, strong{"00", "01", "11"};
    CHECK(outcomes<MessagePassing<relaxed, relaxed>>() == weak);
    CHECK(outcomes<MessagePassing<release, relaxed>>() == weak);
    CHECK(outcomes<MessagePassing<relaxed, acquire>>() == weak);
    CHECK(outcomes<MessagePassing<release, acquire>>() == strong);
    CHECK(outcomes<MessagePassing<seq_cst, seq_cst>>() == strong);
    CHECK(outcomes<MessagePassingByFences>() == strong);
}

TEST_CASE("readers may disagree on the order of independent writes, unless seq_cst forbids it") {
    CHECK(outcomes<IndependentReads<relaxed, relaxed, relaxed>>().count("1010") == 1);
    CHECK(outcomes<IndependentReads<release, acquire, relaxed>>().count("1010") == 1);
    CHECK(outcomes<IndependentReads<release, acquire, relaxed>>().size() == 16);
    CHECK(outcomes<IndependentReads<seq_cst, seq_cst, relaxed>>().count("1010") == 0);
    CHECK(outcomes<IndependentReads<seq_cst, seq_cst, relaxed>>().size() == 15);
    CHECK(outcomes<IndependentReads<relaxed, relaxed, seq_cst>>().count("1010") == 0);
}

TEST_CASE("stores take any place in the order of their location that coherence leaves them") {
    CHECK(outcomes<TwoPlusTwoWrites<relaxed>>() == Set{"11", "12", "21", "22"});
    CHECK(outcomes<TwoPlusTwoWrites<release>>() == Set{"11", "12", "21", "22"});
    CHECK(outcomes<TwoPlusTwoWrites<seq_cst>>() == Set{"12", "21", "22"});
}

TEST_CASE("nobody sees the values of one location backwards") {
    for (const std::string& seen : outcomes<Coherence>()) {
        CHECK(seen[0] <= seen[1]);
        CHECK(seen[2] <= seen[3]);
    }
    CHECK(outcomes<Coherence>().size() == 36);
}

TEST_CASE("causes come before their effects through a third thread") {
    CHECK(outcomes<Causality<release, acquire>>().count("110") == 0);
    CHECK(outcomes<Causality<relaxed, relaxed>>().count("110") == 1);
    CHECK(outcomes<Causality<release, relaxed>>().count("110") == 1);
}

TEST_CASE("load buffering is not modelled") {
    CHECK(outcomes<LoadBuffering<relaxed>>() == Set{"00", "01", "10"});
}

TEST_CASE("release sequences go on over read-modify-writes and not over stores") {
    CHECK(failure<ReleaseSequence<true>>().empty());
    CHECK_THAT(failure<ReleaseSequence<false>>(), dshm::test::starts_with("a race on data"));
}

TEST_CASE("an access to data that does not happen after another is a race") {
    CHECK(failure<PlainData<release, acquire>>().empty());
    CHECK_THAT((failure<PlainData<relaxed, acquire>>()), dshm::test::starts_with("a race on data"));
    CHECK_THAT((failure<PlainData<release, relaxed>>()), dshm::test::starts_with("a race on data"));
}

TEST_CASE("no read-modify-write is lost") { CHECK(outcomes<Counter>() == Set{"6"}); }

TEST_CASE("seq_cst accesses among weaker ones are no stronger than C++20 says") {
    CHECK(outcomes<Z6U>().count("130") == 1);
}

TEST_CASE("a sleeper on a futex is woken, or found out") {
    CHECK(failure<Sleeper<true>>().empty());
    CHECK_THAT(failure<Sleeper<false>>(), dshm::test::contains("sleeps for ever"));
}
