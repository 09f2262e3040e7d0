// The members of a pool: order, tickets, deaths; from states written by hand, and by threads.
#include "catch.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "dshm/queue/member_queue.hpp"

using namespace dshm;
using queue::MemberPhase;
using queue::MemberQueue;
using queue::MemberState;
using queue::TakenMember;
using shm::Owner;
using Take = MemberQueue::Take;

namespace {

constexpr Owner me{9, 4}, other{10, 1};
constexpr Owner first{2, 1}, second{3, 7}, third{255, 0xffff};

// Zero-filled, as an object of the segment is.
struct Fresh {
    std::unique_ptr<MemberQueue> queue = std::make_unique<MemberQueue>();
    std::set<int> dead; // slots

    auto alive() const {
        return [this](Owner member) { return dead.count(member.slot) == 0; };
    }
    bool add(Owner member) { return queue->add(member, alive()); }
    Take take(TakenMember& taken, Owner holder = me) { return queue->take(holder, alive(), taken); }
    Owner take() {
        TakenMember taken;
        REQUIRE(take(taken) == Take::done);
        return taken.member;
    }
};

} // namespace

TEST_CASE("who has been free for longest is taken first") {
    Fresh pool;
    for (const Owner member : {second, first, third})
        CHECK(pool.add(member));
    CHECK(!pool.add(second));
    CHECK(pool.take() == second);
    CHECK(pool.take() == first);
    CHECK(pool.queue->give_back(second));
    CHECK(pool.take() == third);
    CHECK(pool.take() == second);
    TakenMember none;
    CHECK(pool.take(none) == Take::none_free);
    CHECK(!pool.add(second)); // taken, and a member still
    CHECK(pool.queue->give_back(first));
    CHECK(!pool.queue->give_back(first));
    CHECK(!pool.queue->give_back(Owner{77, 1}));
}

TEST_CASE("the dead are passed over, and looking agrees with taking") {
    Fresh pool;
    TakenMember taken;
    CHECK(pool.take(taken) == Take::none_alive); // empty
    for (const Owner member : {first, second})
        pool.add(member);
    const auto look = [&] { return pool.queue->look(pool.alive()); };
    pool.dead = {first.slot};
    CHECK(look() == Take::done);
    CHECK(pool.take() == second);
    CHECK(look() == Take::none_free);
    pool.dead = {first.slot, second.slot};
    CHECK(look() == Take::none_alive);
    CHECK(pool.take(taken) == Take::none_alive);
}

TEST_CASE("a ticket gives back its own taking and no later one") {
    Fresh pool;
    pool.add(first);
    TakenMember taken, again;
    REQUIRE(pool.take(taken) == Take::done);
    CHECK(pool.queue->hand_over(taken, me, other));
    CHECK(!pool.queue->hand_over(taken, me, other));
    CHECK(pool.queue->state(first.slot).holder() == other);
    CHECK(pool.queue->give_back(taken));
    CHECK(!pool.queue->give_back(taken));
    REQUIRE(pool.take(again) == Take::done);
    CHECK(!pool.queue->give_back(taken));
    CHECK(pool.queue->give_back(again));
}

TEST_CASE("a death frees what was held and strikes the dead off, however often it is told") {
    Fresh pool;
    for (const Owner member : {first, second, third})
        pool.add(member);
    TakenMember of_dead, of_living, handed;
    REQUIRE(pool.take(of_dead, second) == Take::done); // first, by second
    REQUIRE(pool.take(of_living) == Take::done);       // second, by me
    REQUIRE(pool.take(handed, second) == Take::done);  // third, by second
    pool.queue->hand_over(handed, second, third);
    for (int pass = 0; pass < 2; ++pass)
        CHECK(pool.queue->recover(second) == (pass == 0));
    CHECK(pool.queue->state(first.slot).phase() == MemberPhase::free);
    CHECK(pool.queue->state(second.slot).phase() == MemberPhase::absent);
    CHECK(pool.queue->state(third.slot).holder() == third);
    CHECK(!pool.queue->give_back(of_living));
    CHECK(!pool.queue->recover(Owner{first.slot, 2})); // another life of the same slot
    CHECK(pool.queue->state(first.slot).phase() == MemberPhase::free);
}

TEST_CASE("a slot that lives again is another member") {
    Fresh pool;
    pool.add(first);
    const Owner reborn{first.slot, 2};
    pool.dead = {first.slot};
    CHECK(pool.add(reborn)); // over what nobody has recovered yet
    CHECK(!pool.queue->give_back(first));
    pool.dead = {};
    CHECK(pool.take() == reborn);
}

TEST_CASE("the late push of a dead one leaves the process that has its slot now alone") {
    Fresh pool;
    const Owner reborn{first.slot, 2};
    const auto lives = [&](Owner member) { return member == reborn; };
    CHECK(pool.queue->add(reborn, lives));
    TakenMember taken;
    REQUIRE(pool.take(taken) == Take::done);
    CHECK(!pool.queue->add(first, lives));
    CHECK(pool.queue->state(first.slot).holder() == me);
    CHECK(pool.queue->give_back(taken));
    CHECK(!pool.queue->add(first, lives));
    CHECK(pool.queue->state(first.slot).is(reborn));
}

TEST_CASE("threads take each member one at a time, and none is lost") {
    Fresh pool;
    constexpr int members = 3, threads = 4, rounds = 5'000;
    std::array<std::atomic<int>, members> users{};
    for (int i = 0; i < members; ++i)
        pool.add({static_cast<std::uint8_t>(i), 1});
    std::vector<std::thread> crew;
    for (int t = 0; t < threads; ++t)
        crew.emplace_back([&, t] {
            const Owner holder{static_cast<std::uint8_t>(100 + t), 1};
            for (int round = 0; round < rounds;) {
                TakenMember taken;
                if (pool.take(taken, holder) != Take::done) {
                    std::this_thread::yield();
                    continue;
                }
                if (users[taken.member.slot].fetch_add(1, std::memory_order_relaxed) != 0)
                    std::abort();
                users[taken.member.slot].fetch_sub(1, std::memory_order_relaxed);
                pool.queue->give_back(taken);
                ++round;
            }
        });
    for (std::thread& thread : crew)
        thread.join();
    std::set<int> seen;
    for (int i = 0; i < members; ++i)
        seen.insert(pool.take().slot);
    CHECK(seen.size() == members);
}
