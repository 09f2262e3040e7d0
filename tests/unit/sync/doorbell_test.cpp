// The doorbell: odd when somebody sleeps, and no wake is ever lost.
//
// Sleeps in these tests have no limit, where a lost wake would otherwise be hidden by the second that ends each sleep.

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "dshm/base/base.hpp"
#include "dshm/sync/sync.hpp"

using namespace dshm;
using waiting::Doorbell;
using namespace std::chrono_literals;

namespace {

constexpr auto for_ever = std::chrono::hours(1);

std::uint32_t seat(Doorbell& bell) {
    return std::atomic_ref(*reinterpret_cast<std::uint32_t*>(&bell)).load();
}

struct Bell {
    alignas(base::cache_line) Doorbell bell;
    Bell() { std::memset(static_cast<void*>(&bell), 0, sizeof bell); }
};

} // namespace

TEST_CASE("arming makes the word odd, ringing makes it even, neither twice") {
    Bell one;
    Doorbell& bell = one.bell;
    CHECK(seat(bell) == 0);
    bell.ring(); // nobody there
    CHECK(seat(bell) == 0);
    CHECK(bell.arm() == 1);
    CHECK(bell.arm() == 1);
    bell.ring();
    CHECK(seat(bell) == 2);
    bell.ring();
    CHECK(seat(bell) == 2);
    CHECK(bell.arm() == 3);
}

TEST_CASE("a wait for what is there does not sleep, and one with a limit ends") {
    Bell one;
    one.bell.wait([] { return true; }, for_ever);
    one.bell.wait([] { return false; }, 1ms);
    CHECK(seat(one.bell) % 2 ==
          1); // still armed: the next ring costs a system call and does no harm
}

TEST_CASE("the word may wrap around") {
    Bell one;
    const std::uint32_t last = 0xffff'ffff;
    std::memcpy(static_cast<void*>(&one.bell), &last, sizeof last);
    CHECK(one.bell.arm() == last);
    one.bell.ring();
    CHECK(seat(one.bell) == 0);
}

TEST_CASE("a waker that died between its swap and its wake is made up for by ringing always") {
    Bell one;
    std::atomic<bool> event{false};
    std::atomic<bool> awake{false};
    std::thread sleeper([&] {
        while (!event)
            one.bell.wait([&] { return event.load(); }, for_ever);
        awake = true;
    });
    while (seat(one.bell) != 1)
        std::this_thread::yield();
    // The event, and the swap, by hand: no wake follows.
    event = true;
    std::uint32_t expected = 1;
    std::atomic_ref(*reinterpret_cast<std::uint32_t*>(&one.bell))
        .compare_exchange_strong(expected, 2);
    one.bell.ring();
    one.bell.ring_always();
    sleeper.join();
    CHECK(awake);
    CHECK(seat(one.bell) % 2 == 0);
}

TEST_CASE("ringing always keeps the word odd for who armed it, and lets all look again") {
    Bell one;
    CHECK(one.bell.arm() == 1);
    one.bell.ring_always();
    CHECK(seat(one.bell) == 3);
    one.bell.ring();
    CHECK(seat(one.bell) == 4);
}

TEST_CASE("hand-overs that are only ever woken by the bell are never lost") {
    constexpr int rounds = 20'000;
    Bell bells[2];
    std::atomic<int> turn{0};
    const auto play = [&](int me) {
        for (int round = 0; round < rounds; ++round) {
            while (turn.load(std::memory_order_acquire) % 2 != me)
                bells[me].bell.wait([&] { return turn.load(std::memory_order_acquire) % 2 == me; },
                                    for_ever);
            turn.fetch_add(1, std::memory_order_seq_cst);
            bells[1 - me].bell.ring();
        }
    };
    std::thread other([&] { play(1); });
    play(0);
    other.join();
    CHECK(turn == 2 * rounds);
}

TEST_CASE("several threads on one bell are all woken") {
    constexpr int sleepers = 4, rounds = 2000;
    Bell one;
    Bell back;
    std::atomic<int> round{0}, arrived{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < sleepers; ++i)
        threads.emplace_back([&] {
            for (int mine = 1; mine <= rounds; ++mine) {
                while (round.load(std::memory_order_seq_cst) < mine)
                    one.bell.wait([&] { return round.load(std::memory_order_seq_cst) >= mine; },
                                  for_ever);
                arrived.fetch_add(1, std::memory_order_seq_cst);
                back.bell.ring();
            }
        });
    for (int next = 1; next <= rounds; ++next) {
        round.store(next, std::memory_order_seq_cst);
        one.bell.ring();
        while (arrived.load(std::memory_order_seq_cst) < next * sleepers)
            back.bell.wait(
                [&] { return arrived.load(std::memory_order_seq_cst) >= next * sleepers; },
                for_ever);
    }
    for (std::thread& thread : threads)
        thread.join();
    CHECK(arrived == sleepers * rounds);
}

TEST_CASE("the spin budget grows with what it was worth and shrinks without, between its limits") {
    waiting::SpinBudget budget;
    for (int i = 0; i < 20; ++i)
        budget.spun_in_vain();
    CHECK(budget.ticks() == waiting::SpinBudget::least_microseconds * os::ticks_per_microsecond());
    budget.was_worth(0); // too short to say anything
    CHECK(budget.ticks() == waiting::SpinBudget::least_microseconds * os::ticks_per_microsecond());
    for (int i = 0; i < 20; ++i)
        budget.was_worth(budget.ticks());
    CHECK(budget.ticks() == waiting::SpinBudget::most_microseconds * os::ticks_per_microsecond());
}
