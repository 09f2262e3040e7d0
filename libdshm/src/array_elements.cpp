#include "dshm/detail/array_elements.hpp"

#include <cstring>

#include "dshm/detail/verify_compare.hpp"
#include "dshm/shm/object_table.hpp"

namespace dshm::detail {

namespace {

template <class T>
T element(const std::byte* data, std::size_t index) {
    T value;
    std::memcpy(&value, data + index * sizeof(T), sizeof(T));
    return value;
}

template <class T>
std::optional<Difference> first_of(const std::byte* a, const std::byte* b, std::size_t bytes,
                                   double tolerance) {
    for (std::size_t i = 0; i < bytes / sizeof(T); ++i) {
        const T first = element<T>(a, i), second = element<T>(b, i);
        if (!same_value(first, second, tolerance))
            return Difference{std::to_string(i), printed(first), printed(second)};
    }
    return std::nullopt;
}

std::optional<Difference> first_in_bytes(std::size_t size, const std::byte* a, const std::byte* b,
                                         std::size_t bytes) {
    for (std::size_t i = 0; i < bytes; ++i)
        if (a[i] != b[i])
            return Difference{std::to_string(i / size), "", ""};
    return std::nullopt;
}

using Compare = std::optional<Difference> (*)(const std::byte*, const std::byte*, std::size_t,
                                              double);

Compare comparison_of(Elements elements) {
    constexpr struct {
        Elements elements;
        Compare compare;
    } known[] = {
        {elements_of<std::int8_t>(), first_of<std::int8_t>},
        {elements_of<std::int16_t>(), first_of<std::int16_t>},
        {elements_of<std::int32_t>(), first_of<std::int32_t>},
        {elements_of<std::int64_t>(), first_of<std::int64_t>},
        {elements_of<std::uint8_t>(), first_of<std::uint8_t>},
        {elements_of<std::uint16_t>(), first_of<std::uint16_t>},
        {elements_of<std::uint32_t>(), first_of<std::uint32_t>},
        {elements_of<std::uint64_t>(), first_of<std::uint64_t>},
        {elements_of<float>(), first_of<float>},
        {elements_of<double>(), first_of<double>},
        {elements_of<std::complex<float>>(), first_of<std::complex<float>>},
        {elements_of<std::complex<double>>(), first_of<std::complex<double>>},
    };
    for (const auto& row : known)
        if (row.elements.bits() == elements.bits())
            return row.compare;
    return nullptr;
}

} // namespace

std::optional<Difference> first_difference_of_elements(Elements elements, const std::byte* a,
                                                       const std::byte* b, std::size_t bytes,
                                                       double tolerance) {
    if (const Compare compare = comparison_of(elements))
        return compare(a, b, bytes, tolerance);
    return first_in_bytes(std::max<std::size_t>(elements.size, 1), a, b, bytes);
}

std::string array_description(const shm::ObjectDescription& description) {
    std::string dims;
    for (const std::uint64_t dim : description.user)
        if (dim != 0 || dims.empty())
            dims += (dims.empty() ? "" : ", ") + std::to_string(dim);
    return "the SharedArray of dimensions (" + dims + ")";
}

} // namespace dshm::detail
