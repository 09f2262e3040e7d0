#include "dshm/shared_array.hpp"

#include <limits>
#include <utility>

namespace dshm::detail {

namespace {

std::string list_of(std::span<const std::size_t> numbers) {
    std::string text;
    for (const std::size_t number : numbers)
        text += (text.empty() ? "" : ", ") + std::to_string(number);
    return "(" + text + ")";
}

} // namespace

void throw_index_out_of_range(std::span<const std::size_t> indices,
                              std::span<const std::size_t> dims) {
    throw std::out_of_range("dshm: index " + list_of(indices) +
                            " is outside a SharedArray of dimensions " + list_of(dims));
}

std::size_t checked_bytes(std::span<const std::size_t> dims, std::size_t element) {
    std::size_t bytes = element;
    for (const std::size_t dim : dims)
        if (__builtin_mul_overflow(bytes, dim, &bytes) ||
            bytes > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()))
            throw std::length_error("dshm: a SharedArray of dimensions " + list_of(dims) +
                                    " has more bytes than a word can count");
    return bytes;
}

} // namespace dshm::detail
