// The members of a pool of workers and the ring of a channel in every execution that C++20's memory model allows, and the same with
// their memory orders weakened, one at a time (weakened.hpp).

#include "catch.hpp"
#include "queue_scenarios.hpp"
#include "weakened.hpp"

using namespace interleave;
using namespace queue_scenarios;
using namespace weakened;

TEST_CASE("a member of a pool is one process's at a time, and each order is needed or known not to "
          "be") {
    const std::vector<Named> scenarios{
        {"hand over", plan_of<HandOver>()},
        {"pool park", plan_of<PoolPark>()},
        {"late return", plan_of<LateReturn>()},
    };
    const std::vector<Spare> spare{
        {"change compare_exchange failure", {"acquire", "relaxed"}, "only repeats the look"},
        {"state load",
         {"acquire", "relaxed"},
         "a member is taken by the swap; who sleeps looks behind the fence of Doorbell::wait"},
    };
    CHECK(check_orders(scenarios, spare, {"member_queue.hpp"}) == 3); // all that are marked there
}

// Most orders of the channel's ring stand between the fences of `membarrier`, and are not needed as long as those are what they are
// modelled as: so what must be found is listed, and not what may be spared.
TEST_CASE("a channel's messages are whole, each is taken once, and nobody sleeps beside one") {
    const std::vector<Named> scenarios{
        {"transfer", plan_of<Transfer<false>>()},
        {"transfer, by roles", plan_of<Transfer<true>>()},
        {"channel park", plan_of<ChannelPark>()},
        {"last role of producers", plan_of<LastRoleOfProducers>()},
        {"last role of consumers", plan_of<LastRoleOfConsumers>()},
        {"end of ring", plan_of<EndOfRing>()},
    };
    std::vector<Report> reports;
    for (const Named& scenario : scenarios) {
        reports.push_back(explore(scenario.plan, {}));
        INFO(scenario.name << ": " << reports.back().failure);
        CHECK(reports.back().failure.empty());
        CHECK(reports.back().complete);
        CHECK(reports.back().executions > reports.back().assumed);
    }
    const auto orders =
        marked_orders(reports, {"channel_ring.hpp", "channel_roles.hpp", "channel_producer.hpp",
                                "channel_consumer.hpp", "queue_scenarios.hpp"});
    for (const char* name : {
             "publish store",       // edge `channel-message`
             "claim_in_front load", // its other end
             "empty_cell store",    // edge `channel-room`
             "claim load",          // its other end
             "light_fence fence",   // edges `membarrier` and `channel-park`, who puts or takes
             "heavy_fence fence",   // who takes a role away, or sleeps
         }) {
        INFO("the order of: " << name);
        REQUIRE(orders.count(name) == 1);
        Site weaker = orders.at(name);
        weaker.order = std::memory_order_relaxed;
        CHECK(found_by(scenarios, weaker) != nullptr);
    }
}
