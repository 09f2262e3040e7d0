// How an argument becomes a parameter in another process.
//
// The sender writes each argument as its *wire type* (wire.hpp): the decayed type, a string for text
// behind a pointer, a vector for a span, the plain matrix for an Eigen expression. The receiver
// reads it as what the parameter asks for: a view of the wire type in place, anything else as a
// value of the wire type, which then converts as in an ordinary call. So
//
//     spawn([](std::span<const double> v) { ... }, vector);     // reads it in the block
//     spawn([](const std::vector<double>& v) { ... }, vector);  // builds a vector
//
// Parameters of a generic callable are not known: it is given values of the wire types.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/ship/buffer.hpp"
#include "dshm/ship/codec.hpp"
#include "dshm/ship/wire.hpp"

namespace dshm::ship {

// ---- wire type to parameter ---------------------------------------------------------------------

namespace detail {

// A parameter that can be read from what was sent: its own wire type is that.
template <class Param, class Argument>
constexpr bool reads_as() {
    if constexpr (std::is_object_v<Param> && !std::is_same_v<Param, Argument> &&
                  std::is_same_v<WireType<Param>, Argument>)
        return Codec<Param>::valid && !is_write_only<Param>;
    else
        return false;
}

} // namespace detail

// The type in which a parameter of (unqualified) type Param receives an argument of wire type
// Argument: a view, or a container of views, where that is asked for.
template <class Param, class Argument>
struct Received {
    using type = std::conditional_t<detail::reads_as<Param, Argument>(), Param, Argument>;
};
template <class T, std::size_t Extent, class Allocator>
struct Received<std::span<const T, Extent>, std::vector<T, Allocator>> {
    using type = std::conditional_t<Bitwise<T> && !std::is_same_v<T, bool>,
                                    std::span<const T, Extent>, std::vector<T, Allocator>>;
};

template <class Param, class Argument>
using Decoded = typename Received<std::remove_cvref_t<Param>, WireType<Argument>>::type;

template <class Param, class Argument>
Decoded<Param, Argument> decode_as(Reader& reader) {
    return decode<Decoded<Param, Argument>>(reader);
}

// ---- the parameters of a callable ---------------------------------------------------------------

namespace detail {

template <class... Params>
struct KnownParameters {
    template <std::size_t I, class>
    using at = std::tuple_element_t<I, std::tuple<Params...>>;
    static constexpr std::size_t count = sizeof...(Params);
};

struct UnknownParameters {
    template <std::size_t, class Argument>
    using at = Argument;
    static constexpr std::size_t count = static_cast<std::size_t>(-1);
};

// Of a call operator or a function; every qualifier that leaves the parameters alone.
template <class T>
struct ParametersOf {
    using type = UnknownParameters;
};
template <class R, class... P>
struct ParametersOf<R (*)(P...)> {
    using type = KnownParameters<P...>;
};
template <class R, class... P>
struct ParametersOf<R (*)(P...) noexcept> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...)> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...) const> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...) noexcept> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...) const noexcept> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...)&> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...) const&> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...)& noexcept> : ParametersOf<R (*)(P...)> {};
template <class R, class C, class... P>
struct ParametersOf<R (C::*)(P...) const& noexcept> : ParametersOf<R (*)(P...)> {};

template <class F>
constexpr auto parameters_of() {
    if constexpr (std::is_member_pointer_v<F>)
        return UnknownParameters(); // the object comes first, as whatever it was sent as
    else if constexpr (requires { &F::operator(); })
        return typename ParametersOf<decltype(&F::operator())>::type();
    else
        return typename ParametersOf<std::decay_t<F>>::type();
}

template <class F, std::size_t Count>
using Parameters = std::conditional_t<decltype(parameters_of<F>())::count == Count,
                                      decltype(parameters_of<F>()), UnknownParameters>;

template <class F, class Indices, class... Args>
struct Call;

template <class F, std::size_t... I, class... Args>
struct Call<F, std::index_sequence<I...>, Args...> {
    template <std::size_t J, class Argument>
    using Param = typename Parameters<F, sizeof...(Args)>::template at<J, Argument>;

    using Values = std::tuple<Decoded<Param<I, Args>, Args>...>;
    static constexpr bool possible = std::is_invocable_v<F&, Decoded<Param<I, Args>, Args>...>;

    static auto result() {
        if constexpr (possible)
            return std::type_identity<std::invoke_result_t<F&, Decoded<Param<I, Args>, Args>...>>();
        else
            return std::type_identity<void>();
    }

    static Values read(Reader& reader) {
        return Values{decode_as<Param<I, Args>, Args>(reader)...};
    } // left to right
    static decltype(auto) apply(F& function, Values& values) {
        return std::invoke(function, std::move(std::get<I>(values))...);
    }
};

template <class F, class... Args>
using CallOf = Call<F, std::index_sequence_for<Args...>, Args...>;

} // namespace detail

// Whether `f(args...)` is possible where the arguments have been received.
template <class F, class... Args>
concept RemotelyInvocable = detail::CallOf<F, Args...>::possible;

// The value that such a call gives its caller: the wire type of what F returns, or void.
template <class F, class... Args>
using ResultOf = WireType<typename decltype(detail::CallOf<F, Args...>::result())::type>;

namespace detail {

template <class F, class... Args>
constexpr bool result_owns_itself() {
    using Result = typename decltype(CallOf<F, Args...>::result())::type;
    if constexpr (std::is_void_v<Result>)
        return true;
    else
        return std::is_constructible_v<ResultOf<F, Args...>, Result>;
}

} // namespace detail

// Reads arguments that were sent as Args... and calls `function` with them. What it returns is a
// value: a reference or view into the arguments is copied before they go.
template <class... Args, class F>
ResultOf<F, Args...> invoke_decoded(F& function, Reader& reader) {
    static_assert(RemotelyInvocable<F, Args...>,
                  "dshm: this callable cannot be called with these arguments; a parameter may be a "
                  "value, a const reference or a "
                  "view such as std::span<const T>, but not a reference through which the caller's "
                  "object would be changed.");
    static_assert(detail::result_owns_itself<F, Args...>(),
                  "dshm: the result of this callable holds views or pointers to text, which end "
                  "with the call; return a container of std::string, std::vector or Eigen "
                  "matrices instead.");
    using Call = detail::CallOf<F, Args...>;
    [[maybe_unused]] typename Call::Values values = Call::read(reader);
    if constexpr (!RemotelyInvocable<F, Args...> || !detail::result_owns_itself<F, Args...>())
        return; // one sentence is enough
    else if constexpr (std::is_void_v<ResultOf<F, Args...>>)
        Call::apply(function, values);
    else
        return ResultOf<F, Args...>(Call::apply(function, values));
}

} // namespace dshm::ship
