#include "dshm/affinity.hpp"

#include <sched.h>

#include <charconv>
#include <stdexcept>
#include <string>

namespace dshm {

namespace {

// The processors of this process's mask, ascending.
std::vector<int> allowed_processors() {
    cpu_set_t set;
    CPU_ZERO(&set);
    std::vector<int> processors;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int i = 0; i < CPU_SETSIZE; ++i)
            if (CPU_ISSET(static_cast<unsigned>(i), &set))
                processors.push_back(i);
    return processors.empty() ? std::vector<int>{0} : processors;
}

} // namespace

Affinity Affinity::cpus(std::vector<int> list) {
    if (list.empty())
        throw std::invalid_argument("dshm: Affinity::cpus needs at least one processor");
    for (const int processor : list)
        if (processor < 0 || processor >= CPU_SETSIZE)
            throw std::invalid_argument("dshm: there is no processor " + std::to_string(processor));
    return Affinity(Kind::list, std::move(list));
}

Affinity Affinity::parse(std::string_view text) {
    if (text == "none")
        return none();
    if (text == "compact")
        return compact();
    if (text == "balanced")
        return balanced();
    std::vector<int> list;
    const char* at = text.data();
    const char* const end = at + text.size();
    while (at != end) {
        int processor = 0;
        const auto [after, error] = std::from_chars(at, end, processor);
        if (error != std::errc() || (after != end && *after != ',') || after + 1 == end)
            throw std::invalid_argument("dshm: affinity '" + std::string(text) +
                                        "': use none, compact, balanced or a list such as 0,2");
        list.push_back(processor);
        at = after == end ? end : after + 1;
    }
    return cpus(std::move(list));
}

std::vector<std::vector<int>> Affinity::of_workers(int n) const {
    if (kind_ == Kind::none)
        return {};
    const std::vector<int> all = kind_ == Kind::list ? list_ : allowed_processors();
    const auto count = static_cast<double>(all.size());
    std::vector<std::vector<int>> result;
    for (int i = 0; i < n; ++i) {
        std::size_t at = static_cast<std::size_t>(i) % all.size();
        if (kind_ ==
            Kind::balanced) // n points spread evenly over [0, count - 0.001], as Julia has it
            at = n == 1 ? 0 : static_cast<std::size_t>((count - 0.001) * i / (n - 1));
        result.push_back({all[at]});
    }
    return result;
}

} // namespace dshm
