#include <algorithm>
#include <cstring>

#include "interleave/explorer.hpp"

namespace interleave {

const char* name_of(std::memory_order order) {
    switch (order) {
    case std::memory_order_relaxed:
        return "relaxed";
    case std::memory_order_consume:
        return "consume";
    case std::memory_order_acquire:
        return "acquire";
    case std::memory_order_release:
        return "release";
    case std::memory_order_acq_rel:
        return "acq_rel";
    case std::memory_order_seq_cst:
        break;
    }
    return "seq_cst";
}

bool Site::same_place(const Site& other) const {
    return line == other.line && op == other.op && failure == other.failure &&
           std::strcmp(file, other.file) == 0;
}

std::string Site::name() const {
    static constexpr const char* ops[] = {"load",      "store",     "exchange", "compare_exchange",
                                          "fetch_add", "fetch_sub", "fetch_or", "fetch_and",
                                          "fence",     "sleep",     "wake"};
    std::string called = function; // of a template, with its arguments
    called.resize(std::min(called.find('<'), called.size()));
    return called + " " + ops[static_cast<std::size_t>(op)] + (failure ? " failure" : "");
}

std::vector<std::memory_order> weaker_orders(const Site& site) {
    using enum std::memory_order;
    const bool loads = site.op == Op::load || site.failure;
    const bool stores = site.op == Op::store;
    std::vector<std::memory_order> orders;
    if (site.order == seq_cst && !loads && !stores)
        orders.push_back(acq_rel);
    if (site.order == seq_cst || site.order == acq_rel) {
        if (!stores)
            orders.push_back(acquire);
        if (!loads)
            orders.push_back(release);
    }
    if (site.order != relaxed)
        orders.push_back(relaxed);
    return orders;
}

} // namespace interleave
