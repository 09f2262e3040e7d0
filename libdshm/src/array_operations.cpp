#include "dshm/array_operations.hpp"

#include <string>

namespace dshm::detail {

void throw_other_length(std::size_t dest, std::size_t source) {
    throw std::out_of_range("dshm: copyto: the destination has " + std::to_string(dest) +
                            " elements, the source " + std::to_string(source));
}

void require_same_size(std::size_t dest, std::size_t source) {
    if (dest != source)
        throw DimensionMismatch("dshm: map_inplace: the destination has " + std::to_string(dest) +
                                " elements, a source " + std::to_string(source));
}

void throw_nothing_to_reduce() {
    throw std::invalid_argument("dshm: reduce: an array without elements has no value; give it one "
                                "by init(...)");
}

void require_same_participants(const std::vector<WorkerId>& dest,
                               const std::vector<WorkerId>& source) {
    if (dest != source)
        throw std::invalid_argument("dshm: map_inplace: the arrays are divided among different "
                                    "participants; make them with the same on(...), or use "
                                    "distributed over dest.indices()");
}

void require_common_participant(const std::vector<WorkerId>& dest,
                                const std::vector<WorkerId>& source) {
    const bool common = std::any_of(dest.begin(), dest.end(), [&](WorkerId id) {
        return std::find(source.begin(), source.end(), id) != source.end();
    });
    if (!common)
        throw std::invalid_argument("dshm: copyto: the arrays have no participant in common; make "
                                    "them with the same on(...), or use distributed over "
                                    "dest.indices()");
}

} // namespace dshm::detail
