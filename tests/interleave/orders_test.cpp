// The ring of task indices and the doorbell in every execution that C++20's memory model allows, and the same with each of their
// memory orders weakened, one at a time: a mistake that no scenario finds is an order that nothing needs.
//
// A weakening that every scenario survives must be in `spare`, with the reason for which it is harmless; one that is there and is
// found has outlived its reason. So this table and the code cannot part. On x86-64 none of these orders costs an instruction.

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "catch.hpp"
#include "scenarios.hpp"

using namespace interleave;
using namespace scenarios;

namespace {

struct Named {
    const char* name;
    Plan plan;
};

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

// Orders that may be weakened without a failure: which, to what, and why.
struct Spare {
    const char* name;
    std::set<std::string> to;
    const char* reason;
};
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

// The orders that stand in the files under test, named by function, operation and a number where there are several.
std::map<std::string, Site> marked_orders(const std::vector<Report>& reports) {
    std::vector<Site> sites;
    for (const Report& report : reports)
        for (const Site& site : report.sites) {
            const std::string_view file = site.file;
            if ((file.ends_with("index_ring.hpp") || file.ends_with("doorbell.hpp")) &&
                std::none_of(sites.begin(), sites.end(),
                             [&](const Site& known) { return known.same_place(site); }))
                sites.push_back(site);
        }
    std::sort(sites.begin(), sites.end(),
              [](const Site& a, const Site& b) { return a.line < b.line; });
    std::map<std::string, Site> named;
    for (const Site& site : sites) {
        std::string name = site.name();
        for (unsigned number = 2; named.count(name) != 0; ++number)
            name = site.name() + " " + std::to_string(number);
        named.emplace(name, site);
    }
    return named;
}

// The scenario that fails with a weakened order, if any does.
const char* found_by(const Site& weakened) {
    Options options;
    options.weakened = &weakened;
    for (const Named& scenario : all_scenarios())
        if (!explore(scenario.plan, options).failure.empty())
            return scenario.name;
    return nullptr;
}

std::set<std::string> harmless_weakenings(const Site& site) {
    std::set<std::string> harmless;
    const std::vector<std::memory_order> orders = weaker_orders(site);
    Site weakened = site;
    weakened.order = orders.back(); // relaxed: if that is harmless, what is stronger is
    const bool all = found_by(weakened) == nullptr;
    for (const std::memory_order order : orders) {
        weakened.order = order;
        if (all || (order != orders.back() && found_by(weakened) == nullptr))
            harmless.insert(name_of(order));
    }
    return harmless;
}

std::set<std::string> known_to_be_harmless(const std::string& name) {
    for (const Spare& one : spare())
        if (one.name == name)
            return one.to;
    return {};
}

} // namespace

TEST_CASE("rings and doorbells are right in every execution, and each of their orders is needed or "
          "known not to be") {
    std::vector<Report> reports;
    for (const Named& scenario : all_scenarios()) {
        reports.push_back(explore(scenario.plan, {}));
        const Report& report = reports.back();
        INFO(scenario.name << ": " << report.failure);
        CHECK(report.failure.empty());
        CHECK(report.complete);
        CHECK(report.executions > report.assumed);
    }
    const auto orders = marked_orders(reports);
    for (const Spare& one : spare())
        CHECK((orders.count(one.name) == 1 ? "" : one.name) == std::string());
    for (const auto& [name, site] : orders) {
        INFO("the order of: " << name << ", line " << site.line);
        CHECK(harmless_weakenings(site) == known_to_be_harmless(name));
    }
    CHECK(orders.size() == 19); // all that are marked there
}
