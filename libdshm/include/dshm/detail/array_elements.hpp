// What the elements of a SharedArray are, as its description in shared memory says, so that code that
// does not know the type can compare and print them.
//
//   63      48 47      32 31       0
//   | kind   |    0     | size    |
//
// For the library.
#pragma once

#include <complex>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <type_traits>

namespace dshm::shm {
struct ObjectDescription;
}

namespace dshm::detail {

struct Difference;

enum class ElementKind : std::uint16_t {
    other = 0,
    signed_integer,
    unsigned_integer,
    floating,
    complex,
};

struct Elements {
    ElementKind kind;
    std::uint32_t size;

    constexpr std::uint64_t bits() const {
        return std::uint64_t{size} | static_cast<std::uint64_t>(kind) << 48;
    }
    static constexpr Elements from_bits(std::uint64_t bits) {
        return {static_cast<ElementKind>(bits >> 48), static_cast<std::uint32_t>(bits)};
    }
};

template <class T>
constexpr Elements elements_of() {
    constexpr auto kind =
        std::is_same_v<T, std::complex<float>> || std::is_same_v<T, std::complex<double>>
            ? ElementKind::complex
        : std::is_same_v<T, float> || std::is_same_v<T, double> ? ElementKind::floating
        : !std::is_integral_v<T>                                ? ElementKind::other
        : std::is_signed_v<T>                                   ? ElementKind::signed_integer
                                                                : ElementKind::unsigned_integer;
    return {kind, static_cast<std::uint32_t>(sizeof(T))};
}

// The first element that differs between two arrays of `bytes` bytes: its index, and both values
// where they can be printed. Floating-point numbers as in verify_compare.hpp, others by their bytes.
std::optional<Difference> first_difference_of_elements(Elements elements, const std::byte* a,
                                                       const std::byte* b, std::size_t bytes,
                                                       double tolerance);

// "the SharedArray of dimensions (10, 10)".
std::string array_description(const shm::ObjectDescription& description);

} // namespace dshm::detail
