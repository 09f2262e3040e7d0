// What f gets of a map's elements and gives for them, and the operation that runs a batch where it
// has been sent. Private to the map.
#pragma once

#include <cstddef>
#include <functional>
#include <tuple>
#include <type_traits>
#include <utility>

#include "dshm/detail/sent_callable.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/map_batch.hpp"
#include "dshm/ship/parameters.hpp"

namespace dshm::detail {

template <class F, class Indices, class... Cursors>
struct MapCallOf;

template <class F, std::size_t... I, class... Cursors>
struct MapCallOf<F, std::index_sequence<I...>, Cursors...> {
    template <std::size_t J, class Cursor>
    using Param =
        typename ship::detail::Parameters<F, sizeof...(
                                                 Cursors)>::template at<J, typename Cursor::Value>;
    template <bool copies>
    using Given = std::tuple<typename Cursors::template Given<Param<I, Cursors>, copies>...>;
    template <bool copies>
    static constexpr bool takes =
        std::is_invocable_v<F&, typename Cursors::template Given<Param<I, Cursors>, copies>...>;

    // Plain elements are shown where they lie, or copied for an f that wants one of its own.
    static constexpr bool possible = takes<false> || takes<true>;
    using Element = Given<!takes<false>>;

    static auto result() {
        if constexpr (!possible)
            return std::type_identity<void>();
        else
            return std::type_identity<decltype(std::apply(std::declval<F&>(),
                                                          std::declval<Element>()))>();
    }
    using Raw = typename decltype(result())::type;
    using Result = ship::WireType<Raw>;

    using Columns = std::tuple<Cursors...>;
    static Columns open(ship::Reader& reader) { return Columns{Cursors(reader)...}; }
    // The elements at place i of the batch; encoded ones come in order.
    static Element read(Columns& cursors, ship::Reader& reader, std::size_t i) {
        return Element{read_one<I>(std::get<I>(cursors), reader, i)...}; // left to right
    }

private:
    template <std::size_t J, class Cursor>
    static decltype(auto) read_one(Cursor& cursor, ship::Reader& reader, std::size_t i) {
        if constexpr (Cursor::in_place)
            return cursor.at(i);
        else
            return ship::decode_as<Param<J, Cursor>, typename Cursor::Value>(reader);
    }
};
template <class F, class... Cursors>
using MapCall = MapCallOf<F, std::index_sequence_for<Cursors...>, Cursors...>;

// One sentence each.
template <class Call>
constexpr void require_possible_map() {
    static_assert(Call::possible,
                  "dshm: this callable cannot be called with the elements of these collections; it "
                  "takes one of each, and a parameter may be a value, a const reference or a view "
                  "such as std::span<const T>.");
    if constexpr (Call::possible && !std::is_void_v<typename Call::Raw>)
        static_assert(std::is_constructible_v<typename Call::Result, typename Call::Raw>,
                      "dshm: the result of this callable holds views or pointers to text, which "
                      "end with the call; return a container of std::string, std::vector or Eigen "
                      "matrices instead.");
}

template <class F, class... Cursors>
void run_map_batch(runtime::Execution& execution) {
    using Call = MapCall<F, Cursors...>;
    using R = typename Call::Result;
    ship::Reader reader = execution.arguments();
    F function = SentCallable<F>::read(reader);
    const auto header = ship::decode<runtime::BatchHeader>(reader);
    auto cursors = Call::open(reader);
    runtime::BatchResult<R> result{{}, {}, runtime::BatchValues<R>(header.count)};
    runtime::run_batch(
        header, runtime::BatchClaims(runtime::current().tasks(), execution.task()), result,
        [&](std::size_t i) { return Call::read(cursors, reader, i); },
        [&](typename Call::Element& element) -> R {
            return static_cast<R>(std::apply(function, std::move(element)));
        });
    execution.give(result);
}

template <class F, class... Cursors>
inline constexpr runtime::Operation map_operation{&run_map_batch<F, Cursors...>,
                                                  runtime::detail::type_name<F>()};

template <class F, class... Cursors>
std::uint64_t function_of_map() {
    static constinit std::atomic<std::uint64_t> session{0};
    static constinit std::atomic<std::uint64_t> cached{0};
    return runtime::function_of(map_operation<F, Cursors...>, session, cached);
}

} // namespace dshm::detail
