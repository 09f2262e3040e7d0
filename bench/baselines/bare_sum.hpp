// A sum over indices on bare forked processes, each of which does one piece of equal length.
#pragma once

#include "baselines/crew.hpp"

namespace bench {

class BareSum {
public:
    /// Sum over [first, last).
    using Piece = long (*)(long first, long last);

    BareSum(long count, int members, Piece piece)
        : pieces_(static_cast<std::size_t>(members) * stride),
          crew_(members, [=, this](int member) {
              pieces_[static_cast<std::size_t>(member) * stride] =
                  piece(count * member / members, count * (member + 1) / members);
          }) {}

    int members() const { return crew_.size(); }

    long run() {
        crew_.run();
        long total = 0;
        for (std::size_t i = 0; i < pieces_.size(); i += stride)
            total += pieces_[i];
        return total;
    }

private:
    static constexpr std::size_t stride = 16; // a slot for each member, two cache lines apart

    SharedMapping<long> pieces_;
    Crew crew_;
};

} // namespace bench
