// A function over doubles on bare forked processes, each of which does one piece of equal length.
#pragma once

#include "baselines/crew.hpp"

#include <algorithm>

namespace bench {

class BareMap {
public:
    template <class Function>
    BareMap(std::size_t count, int members, Function function)
        : values_(count), mapped_(count), crew_(members, [=, this](int member) {
              const auto begin = [&](int i) {
                  return count * static_cast<std::size_t>(i) / static_cast<std::size_t>(members);
              };
              for (std::size_t i = begin(member); i < begin(member + 1); ++i)
                  mapped_[i] = function(values_[i]);
          }) {}

    /// What is mapped by `run_in_place`.
    std::span<double> values() { return values_.span(); }

    /// Values that lie in shared memory, results there too: nothing is copied.
    std::span<const double> run_in_place() {
        crew_.run();
        return mapped_.span();
    }

    /// From a vector to a new one, through shared memory.
    std::vector<double> run(const std::vector<double>& values) {
        std::copy(values.begin(), values.end(), values_.data());
        crew_.run();
        return {mapped_.data(), mapped_.data() + mapped_.size()};
    }

private:
    SharedMapping<double> values_;
    SharedMapping<double> mapped_;
    Crew crew_;
};

} // namespace bench
