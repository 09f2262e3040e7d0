// What the constructors of a SharedArray are given: dimensions in several spellings, then keywords.
// For the library.
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/detail/array_storage.hpp"
#include "dshm/keywords.hpp"

namespace dshm::detail {

// ---- dimensions ---------------------------------------------------------------------------------

template <std::integral D>
std::size_t checked_dim(D dim) {
    return checked_dim(std::is_signed_v<D> && dim < D{}, static_cast<std::size_t>(dim));
}

// From a built-in array or a std::array.
template <std::size_t N, class List>
std::array<std::size_t, N> checked_dims(const List& list) {
    std::array<std::size_t, N> dims;
    for (std::size_t k = 0; k < N; ++k)
        dims[k] = checked_dim(list[k]);
    return dims;
}

// Wraps around where checked_bytes() throws.
template <std::size_t N>
std::size_t product_of(const std::array<std::size_t, N>& dims) {
    std::size_t product = 1;
    for (const std::size_t dim : dims)
        product *= dim;
    return product;
}

template <std::size_t N, std::size_t... K, class... Args>
constexpr bool dims_then_keywords(std::index_sequence<K...>, std::tuple<Args...>*) {
    return ((K < N ? std::is_integral_v<Args> : Keyword<Args>)&&...);
}
// N whole numbers, then keywords.
template <std::size_t N, class... Args>
concept DimsThenKeywords =
    sizeof...(Args) >= N&& dims_then_keywords<N>(
                           std::index_sequence_for<Args...>(),
                           static_cast<std::tuple<std::remove_cvref_t<Args>...>*>(nullptr));

template <std::size_t... K, class Arguments>
auto dims_at(std::index_sequence<K...>, const Arguments& arguments) {
    return std::array<std::size_t, sizeof...(K)>{checked_dim(std::get<K>(arguments))...};
}
template <std::size_t N, class... Args>
std::array<std::size_t, N> leading_dims(const Args&... arguments) {
    return dims_at(std::make_index_sequence<N>(), std::tie(arguments...));
}

// ---- keywords -----------------------------------------------------------------------------------

template <std::size_t N, std::size_t... K, class Arguments>
auto behind(std::index_sequence<K...>, const Arguments& arguments) {
    return std::tie(std::get<N + K>(arguments)...);
}
template <std::size_t N, class... Args>
auto trailing_keywords(const Args&... arguments) {
    return behind<N>(std::make_index_sequence<sizeof...(Args) - N>(), std::tie(arguments...));
}

// The keyword of that family, which is there.
template <class Family, class... Ks>
const auto& among(const std::tuple<const Ks&...>& keywords) {
    return std::apply(
        [](const auto&... each) -> const auto& { return keyword_or<Family>(0, each...); },
        keywords);
}

template <class... Ks>
std::vector<WorkerId> participants_among(const std::tuple<const Ks&...>& keywords) {
    if constexpr (has_keyword<keyword::on, Ks...>)
        return participants_of(among<keyword::on>(keywords));
    else
        return workers();
}

template <class... Ks>
std::string name_among(const std::tuple<const Ks&...>& keywords) {
    if constexpr (has_keyword<keyword::named, Ks...>)
        return among<keyword::named>(keywords).name;
    else
        return {};
}

// ---- files --------------------------------------------------------------------------------------

// Throws std::invalid_argument when an array that can only be read is to be initialised.
runtime::FileSpec checked_spec(runtime::FileSpec spec, const ArrayShape& shape, bool initialised);

template <class... Ks>
runtime::FileSpec file_spec(const std::string& path, const ArrayShape& shape, std::size_t alignment,
                            const std::tuple<const Ks&...>& keywords) {
    runtime::FileSpec spec{.path = path, .mode = {}, .alignment = alignment};
    if constexpr (has_keyword<keyword::mode, Ks...>)
        spec.mode = among<keyword::mode>(keywords).value;
    if constexpr (has_keyword<keyword::offset, Ks...>)
        spec.offset = among<keyword::offset>(keywords).bytes;
    return checked_spec(std::move(spec), shape, has_keyword<keyword::init, Ks...>);
}

} // namespace dshm::detail
