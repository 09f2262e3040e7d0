#include <string>

#include "dshm/detail/map_collections.hpp"

namespace dshm::detail {

namespace {

std::string text_of(const std::vector<std::size_t>& shape) {
    std::string text;
    for (const std::size_t dimension : shape)
        text += (text.empty() ? "" : " x ") + std::to_string(dimension);
    return text;
}

} // namespace

void require_same(const char* caller, std::span<const std::vector<std::size_t>> shapes) {
    const std::vector<std::size_t>* first = nullptr;
    for (const auto& shape : shapes) {
        if (shape.empty())
            continue;
        if (first == nullptr)
            first = &shape;
        else if (shape != *first)
            throw DimensionMismatch("dshm: " + std::string(caller) +
                                    ": matrices of different shape: " + text_of(*first) + " and " +
                                    text_of(shape) + "; all must have the same");
    }
}

} // namespace dshm::detail
