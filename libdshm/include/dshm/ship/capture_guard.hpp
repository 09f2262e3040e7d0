// The capture guard: looks through the words of a closure's image in a payload for addresses that
// mean nothing in another process.
//
// A word is
//     a number     if nothing is mapped at it: it stays;
//     translated   if it lies in a loaded image (a function, a string literal, a global): it becomes
//                  a FunctionId there, and its bit is set in the bitmap behind the image;
//     refused      if it lies in private memory (stack, heap, mapped files: a captured std::string,
//                  std::vector, std::span or `this`), or in shared memory, mapped elsewhere by
//                  others: std::invalid_argument.
// Handles of dshm are skipped. What is mapped is known from a table that each refusal checks against
// the kernel's; a word that looks like an address, and is not in the table, costs one system call.
//
// Closures that hold no pointers by their type are not looked at. Known limits for the others: a
// number that happens to equal a mapped address cannot be told from it, and neither can what the
// stack left in padding, where the compiler cannot clear it (g++: beside a bool or char in a
// std::pair; clang: there, in a std::optional, and between members): such a closure may be refused
// for nothing, and trust(f) is the answer.
// Below 4 GiB, where only programs that are not position-independent have memory, a word is an
// address only if a block of the heap begins there. Addresses that do not lie at a multiple of 8
// bytes, or are kept as numbers, are not seen.
//
// Any thread may call; readers share no lock. If the caller dies half-way, its payload was not
// published.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <typeinfo>

#include "dshm/ship/shipping.hpp"

namespace dshm::ship::detail {

inline constexpr std::size_t bytes_of_word = sizeof(std::uint64_t);

template <std::size_t Size>
struct Zeros {
    unsigned char bytes[Size];
};

template <class F>
inline constexpr bool may_hold_addresses = sizeof(F) >= bytes_of_word &&
                                           alignof(F) >= alignof(void*);

// Without members that are pointers or references: only such a type can be made out of bytes while
// compiling. Not known of types with unions in them, or that are not trivially copyable. The layout
// of payloads does not depend on it, because the answer may be another in another place: g++ 12 takes
// closure types for not trivially copyable once somebody has asked whether they can be assigned.
template <class F>
concept PointerFree = __is_trivially_copyable(F) && sizeof(F) <= 16384 && requires {
    typename std::bool_constant<(__builtin_bit_cast(F, Zeros<sizeof(F)>{}), true)>;
};

// Copied by copying its bytes; it cannot hold a handle.
template <class F>
inline constexpr bool copied_as_bytes =
    std::is_trivially_copy_constructible_v<F>&& std::is_trivially_destructible_v<F>;

template <class F>
inline constexpr std::size_t words_in = sizeof(F) / bytes_of_word;
template <class F>
inline constexpr std::size_t bitmap_bytes = (words_in<F> + 7) / 8;

// User space ends here: 47 bits on x86-64, where more are given only to who asks; 48 on others.
#if defined(__x86_64__)
inline constexpr std::uint64_t end_of_addresses = std::uint64_t{1} << 47;
#else
inline constexpr std::uint64_t end_of_addresses = std::uint64_t{1} << 48;
#endif

// No memory is known below; 0 until the table has been read. Relaxed everywhere: a stale value costs
// a closer look, or finds what was mapped a moment ago as little as a stale table would.
inline constinit std::atomic<std::uint64_t> lowest_address{0};

inline std::uint64_t load_word(const std::byte* image, std::size_t index) {
    std::uint64_t word;
    std::memcpy(&word, image + index * bytes_of_word, sizeof word);
    return word;
}

// The first test, of all words at once; true for few closures without addresses.
template <std::size_t Words>
bool any_may_be_address(const std::byte* image) {
    // relaxed: see lowest_address.
    const std::uint64_t lowest = lowest_address.load(std::memory_order_relaxed);
    bool any = false;
    for (std::size_t i = 0; i < Words; ++i)
        any |= load_word(image, i) - lowest < end_of_addresses - lowest;
    return any;
}

// A closure in a payload, before it is published.
struct CapturedImage {
    std::byte* image;
    std::byte* bitmap; // zeroed; a bit for each word
    std::size_t words;
    std::span<const HandlePlace> handles; // places in the image that are not looked at
    const std::type_info* type;           // for the message
};

// Looks at every word, then translates those that need it. Throws before anything is changed.
void translate_captures(const CapturedImage& captured);

// The image as this process needs it, in `target`: `bytes` bytes, with the words whose bits are set
// put right. Throws UnknownFunction where a module is not known here.
void restore_captures(std::byte* target, const std::byte* image, std::size_t bytes,
                      const std::byte* bitmap);

// Tells the compiler that the bytes may be read and written behind its back.
inline void hide_from_optimiser(std::byte* bytes) { asm volatile("" : : "r"(bytes) : "memory"); }

// A type that has a byte more than F, which the compiler puts where F's own bytes end.
template <class F>
struct OneByteMore : F {
    unsigned char next;
};

// The bytes of a closure without the padding behind its last member.
template <class F>
constexpr std::size_t size_without_tail() {
    if constexpr (std::is_class_v<F> && !std::is_final_v<F>) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
        return std::min(sizeof(F), __builtin_offsetof(OneByteMore<F>, next));
#pragma GCC diagnostic pop
    }
    return sizeof(F);
}

// Copies a closure to where it was zero before, so that padding is no stale address: all of it with
// g++, what is behind the last member with clang.
template <class F>
void copy_over_zeros(std::byte* target, const F& function) {
    if constexpr (copied_as_bytes<F>) {
        constexpr std::size_t used = size_without_tail<F>();
        std::memcpy(target, std::addressof(function), used);
        std::memset(target + used, 0, sizeof(F) - used);
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
        if constexpr (__is_trivially_copyable(F))
            __builtin_clear_padding(std::launder(reinterpret_cast<F*>(target)));
#endif
#endif
    } else {
        std::memset(target, 0, sizeof(F));
        hide_from_optimiser(target); // else the zeros are dead stores before a constructor
        ::new (static_cast<void*>(target)) F(function);
        hide_from_optimiser(target);
    }
}

template <class F>
void look_through(std::byte* image, std::byte* bitmap, std::span<const HandlePlace> handles) {
    std::memset(bitmap, 0, bitmap_bytes<F>);
    if (PointerFree<F> || !any_may_be_address<words_in<F>>(image)) [[likely]]
        return;
    try {
        translate_captures({image, bitmap, words_in<F>, handles, &typeid(F)});
    } catch (...) {
        std::destroy_at(std::launder(reinterpret_cast<F*>(image))); // a captured vector's copy
        throw;
    }
}

template <class F>
void write_guarded(Writer& writer, const F& function) {
    require_block_alignment<F>();
    std::byte* image = writer.reserve(sizeof(F), alignof(F));
    std::byte* bitmap = writer.reserve(bitmap_bytes<F>, 1);
    if (image == nullptr)
        return;
    if constexpr (copied_as_bytes<F>) {
        copy_over_zeros(image, function);
        look_through<F>(image, bitmap, {});
    } else {
        const ShippingScope scope(ShippingScope::Mode::sending, writer.handles());
        copy_over_zeros(image, function);
        look_through<F>(image, bitmap, scope.places());
    }
}

template <class F>
[[gnu::noinline]] F restored(const std::byte* image, const std::byte* bitmap) {
    alignas(F) std::byte here[sizeof(F)];
    restore_captures(here, image, sizeof(F), bitmap);
    return copy_of_image<F>(here);
}

template <class F>
F read_guarded(Reader& reader) {
    const std::byte* image = reader.take(sizeof(F), alignof(F));
    const std::byte* bitmap = reader.take(bitmap_bytes<F>, 1);
    std::byte bits{};
    for (std::size_t i = 0; i < bitmap_bytes<F>; ++i)
        bits |= bitmap[i];
    if (bits == std::byte{}) [[likely]]
        return copy_of_image<F>(image);
    return restored<F>(image, bitmap);
}

} // namespace dshm::ship::detail
