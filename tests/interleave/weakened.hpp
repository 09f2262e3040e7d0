// Scenarios with each of the memory orders of some headers weakened, one at a time: a mistake that no scenario finds is an order
// that nothing needs.
//
// A weakening that every scenario survives must be in a table of spare ones, with the reason for which it is harmless; one that is
// there and is found has outlived its reason. So tables and code cannot part.
#pragma once

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "catch.hpp"
#include "interleave/explorer.hpp"

namespace weakened {

using interleave::Options;
using interleave::Report;
using interleave::Site;

struct Named {
    const char* name;
    interleave::Plan plan;
};

// Orders that may be weakened without a failure: which, to what, and why.
struct Spare {
    const char* name;
    std::set<std::string> to;
    const char* reason;
};

// The orders that stand in the files under test, named by function, operation and a number where there are several.
inline std::map<std::string, Site> marked_orders(const std::vector<Report>& reports,
                                                 const std::vector<std::string_view>& files) {
    std::vector<Site> sites;
    for (const Report& report : reports)
        for (const Site& site : report.sites) {
            const auto is_in = [&](std::string_view file) {
                return std::string_view(site.file).ends_with(file);
            };
            if (std::any_of(files.begin(), files.end(), is_in) &&
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
inline const char* found_by(const std::vector<Named>& scenarios, const Site& weaker) {
    Options options;
    options.weakened = &weaker;
    for (const Named& scenario : scenarios)
        if (!explore(scenario.plan, options).failure.empty())
            return scenario.name;
    return nullptr;
}

inline std::set<std::string> harmless(const std::vector<Named>& scenarios, const Site& site) {
    std::set<std::string> found;
    const std::vector<std::memory_order> orders = weaker_orders(site);
    Site weaker = site;
    weaker.order = orders.back(); // relaxed: if that is harmless, what is stronger is
    const bool all = found_by(scenarios, weaker) == nullptr;
    for (const std::memory_order order : orders) {
        weaker.order = order;
        if (all || (order != orders.back() && found_by(scenarios, weaker) == nullptr))
            found.insert(interleave::name_of(order));
    }
    return found;
}

inline std::set<std::string> known_to_be_harmless(const std::vector<Spare>& spare,
                                                  const std::string& name) {
    for (const Spare& one : spare)
        if (one.name == name)
            return one.to;
    return {};
}

// In a test case: each scenario is right in every execution, and each order is needed or spare. The number of orders.
inline std::size_t check_orders(const std::vector<Named>& scenarios,
                                const std::vector<Spare>& spare,
                                const std::vector<std::string_view>& files) {
    std::vector<Report> reports;
    for (const Named& scenario : scenarios) {
        reports.push_back(explore(scenario.plan, {}));
        const Report& report = reports.back();
        INFO(scenario.name << ": " << report.failure);
        CHECK(report.failure.empty());
        CHECK(report.complete);
        CHECK(report.executions > report.assumed);
    }
    const auto orders = marked_orders(reports, files);
    for (const Spare& one : spare)
        CHECK((orders.count(one.name) == 1 ? "" : one.name) == std::string());
    for (const auto& [name, site] : orders) {
        INFO("the order of: " << name << ", line " << site.line);
        CHECK(harmless(scenarios, site) == known_to_be_harmless(spare, name));
    }
    return orders.size();
}

} // namespace weakened
