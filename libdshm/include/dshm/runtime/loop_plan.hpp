// How the elements of a loop are cut into chunks, and who may run which.
//
// Arithmetic only: every participant computes the same cuts from the same few numbers, whatever the
// others do, so the order of a reduction depends on the plan and on nothing else.
//
//     even      c chunks whose sizes differ by one at most, the first n mod c longer: Julia's split
//     equal     chunks of one size, the last one shorter
//     guided    each chunk a share of what is left, down to a smallest size
//
// A chunk belongs to a *lane*, a participant's own, or to whoever comes first:
//
//     shared    no lanes
//     dealt     lane l has the chunks l, l + lanes, l + 2 lanes, ...
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace dshm::runtime {

// No loop has more: a chunk size that would need more is made larger.
inline constexpr std::size_t most_chunks = 65536;

enum class LoopCuts : std::uint64_t { even, equal, guided };
enum class LoopLanes : std::uint64_t { shared, dealt };

struct LoopPlan {
    std::uint64_t elements = 0;
    std::uint64_t chunks = 0;
    std::uint64_t size = 0;  // of an equal chunk, of the smallest guided one
    std::uint64_t lanes = 1; // participants that were planned for
    LoopCuts cuts = LoopCuts::even;
    LoopLanes owners = LoopLanes::shared;

    // One chunk for each of `lanes`.
    static LoopPlan split(std::size_t elements, std::size_t lanes) {
        lanes = std::min(elements, lanes);
        return {elements,       lanes,           0, std::max<std::size_t>(1, lanes),
                LoopCuts::even, LoopLanes::dealt};
    }
    static LoopPlan equal(std::size_t elements, std::size_t size, std::size_t lanes,
                          LoopLanes owners) {
        size = std::max(size, (elements + most_chunks - 1) / most_chunks);
        return {elements, (elements + size - 1) / size, size, lanes, LoopCuts::equal, owners};
    }
    static LoopPlan guided(std::size_t elements, std::size_t smallest, std::size_t lanes) {
        smallest = std::max(smallest, (elements + most_chunks - 1) / most_chunks);
        LoopPlan plan{elements, 0, smallest, lanes, LoopCuts::guided, LoopLanes::shared};
        for (std::size_t from = 0; from < elements; from += plan.guided_size(from))
            ++plan.chunks;
        return plan;
    }

    // Half of an equal share of what is left: nobody takes so much that the others wait for it.
    std::size_t guided_size(std::size_t from) const {
        const std::size_t left = elements - from;
        return std::min(left, std::max<std::size_t>(size, left / (2 * lanes)));
    }
};

// Where the part-th of so many parts begins whose sizes differ by one at most, the longer ones first.
constexpr std::size_t even_start(std::size_t elements, std::size_t parts, std::size_t part) {
    return part * (elements / parts) + std::min(part, elements % parts);
}

// Where the chunks of a plan begin. Made in O(chunks) for a guided plan, at once for the others.
class ChunkStarts {
public:
    explicit ChunkStarts(const LoopPlan& plan) : plan_(plan) {
        if (plan.cuts == LoopCuts::guided)
            for (std::size_t from = 0; from < plan.elements; from += plan.guided_size(from))
                guided_.push_back(from);
    }

    // Of chunk `chunk`; of the one behind the last, the number of elements.
    std::size_t first(std::size_t chunk) const {
        if (chunk >= plan_.chunks)
            return plan_.elements;
        switch (plan_.cuts) {
        case LoopCuts::equal:
            return chunk * plan_.size;
        case LoopCuts::guided:
            return guided_[chunk];
        case LoopCuts::even:
            break;
        }
        return even_start(plan_.elements, plan_.chunks, chunk);
    }

private:
    LoopPlan plan_;
    std::vector<std::size_t> guided_;
};

} // namespace dshm::runtime
