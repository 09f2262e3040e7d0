// The ring of task indices and the doorbell in every execution that C++20's memory model allows, and the same with each of their
// memory orders weakened, one at a time (weakened.hpp). On x86-64 none of these orders costs an instruction.

#include "catch.hpp"
#include "scenarios.hpp"
#include "weakened.hpp"

using namespace interleave;
using namespace scenarios;
using namespace weakened;

namespace {

const std::vector<Named>& all_scenarios() {
    static const std::vector<Named> all{
        {"publish", plan_of<Publish>()},
        {"overwrite, from a hint", plan_of<Overwrite<true, 1>>()},
        {"overwrite, without", plan_of<Overwrite<false, 1>>()},
        {"overwrite, two consumers", plan_of<Overwrite<true, 2>>()},
        {"ready hint", plan_of<ReadyHint>()},
        {"park", plan_of<Park>()},
        {"park and death", plan_of<ParkAndDeath<false>>()},
        {"park and death after the swap", plan_of<ParkAndDeath<true>>()},
        {"park for an entry", plan_of<ParkForEntry>()},
        {"park for room", plan_of<ParkForRoom>()},
        {"exchange", plan_of<Exchange>()},
        {"park together", plan_of<ParkTogether>()}, // takes longest
    };
    return all;
}

const std::vector<Spare>& spare() {
    static const std::vector<Spare> all{
        {"arm compare_exchange",
         {"acq_rel", "release"},
         "wait() has a seq_cst fence behind it, which serves the thread that finds the word armed "
         "as well"},
        {"arm compare_exchange failure", {"relaxed"}, "the same fence"},
        {"arm load", {"relaxed"}, "the same fence"},
        {"ring compare_exchange",
         {"acquire", "release", "relaxed"},
         "the seq_cst event and look before it order the event already; a sleeper looks at the "
         "event itself"},
        {"ring compare_exchange failure", {"relaxed"}, "only repeats the look"},
        {"ring_always fetch_add", {"release"}, "the launcher learns of the death from the kernel"},
        {"full load",
         {"acquire", "relaxed"},
         "asked by those who sleep: behind the fence of wait()"},
        {"full load 2", {"acquire", "relaxed"}, "the same"},
        {"peek load",
         {"relaxed"},
         "the swaps of head are one release sequence, so who sees the last has learnt of all"},
        {"peek load 3",
         {"relaxed"},
         "the cell was read with acquire: coherence shows no older head than its producer saw"},
        {"try_fill load", {"relaxed"}, "the swap behind it acquires the same cell"},
    };
    return all;
}

} // namespace

TEST_CASE("rings and doorbells are right in every execution, and each of their orders is needed or "
          "known not to be") {
    CHECK(check_orders(all_scenarios(), spare(), {"index_ring.hpp", "doorbell.hpp"}) ==
          19); // all that are marked there
}
