// Callables into payloads and out of them.
//
// A closure is copy-constructed into the payload by the sender and out of it by the receiver, any
// number of times; the image in the payload is never destroyed, and the handles in it are accounted
// by the payload's list (shipping.hpp). A closure without state takes no room; functions cross by
// identity.
//
// What may be captured: trivially copyable values, handles of dshm, and simple aggregates of them.
// A closure type that is not standard-layout is refused here, at compile time; addresses of memory
// that other processes do not have are refused when the closure is sent, and addresses of functions,
// literals and globals are translated (capture_guard.hpp). `trust(f)` skips the checks.
//
// A callable that dshm makes out of a user's (the body of a loop, for one) crosses as its parts, so
// that each is guarded, or trusted, as if it were sent alone.
#pragma once

#include <functional>
#include <type_traits>
#include <utility>

#include "dshm/ship/capture_guard.hpp"
#include "dshm/ship/codec.hpp"

namespace dshm::ship {

// A callable whose author vouches for it.
template <class F>
struct Trusted {
    F function;

    template <class... Args>
    decltype(auto) operator()(Args&&... args) {
        return std::invoke(function, std::forward<Args>(args)...);
    }
    template <class... Args>
    decltype(auto) operator()(Args&&... args) const {
        return std::invoke(function, std::forward<Args>(args)...);
    }
};

template <class F>
Trusted<std::decay_t<F>> trust(F&& function) {
    return {std::forward<F>(function)};
}

namespace detail {

template <class F>
inline constexpr bool is_trusted = false;
template <class F>
inline constexpr bool is_trusted<Trusted<F>> = true;

template <class F>
inline constexpr bool is_function_like =
    std::is_function_v<std::remove_pointer_t<F>> || std::is_member_pointer_v<F>;

template <class F>
inline constexpr bool is_stateless = std::is_empty_v<F>&& std::is_default_constructible_v<F>;

} // namespace detail

// A callable made of others: it says `using shipped_by_parts = ship::Parts<A, B>;`, gives them by
// visit_parts(visit), which is visit(a, b), and is made from them by braces.
template <class... Types>
struct Parts {};
template <class F>
concept ShippedByParts = requires {
    typename F::shipped_by_parts;
};

namespace detail {

template <class F>
constexpr bool is_shippable_closure() {
    if constexpr (ShippedByParts<F>)
        return []<class... Types>(Parts<Types...>) {
            return (is_shippable_closure<Types>() && ...);
        }(typename F::shipped_by_parts());
    else
        return is_function_like<F> ||
               (std::is_copy_constructible_v<F> && (is_trusted<F> || std::is_standard_layout_v<F>));
}

} // namespace detail

// A callable type that may cross.
template <class F>
concept ShippableClosure = detail::is_shippable_closure<F>();

namespace detail {

template <class F>
constexpr void require_shippable_whole() {
    static_assert(is_function_like<F> || is_trusted<F> || std::is_standard_layout_v<F>,
                  "dshm: this callable cannot be sent to another process, because it captures "
                  "something by reference, or holds "
                  "by copy a value that is not standard-layout (such as a std::map, a std::tuple "
                  "or a std::function): pass "
                  "that value as an argument of the call or put it into a SharedArray, or write "
                  "dshm::trust(f) if you know "
                  "that its bytes mean the same in every process.");
    static_assert(is_function_like<F> || std::is_copy_constructible_v<F>,
                  "dshm: this callable cannot be sent to another process, because it cannot be "
                  "copied: pass what makes it "
                  "move-only (such as a captured std::unique_ptr) as an argument of the call.");
}

template <class F>
constexpr void require_shippable_closure() {
    if constexpr (ShippedByParts<F>)
        return []<class... Types>(Parts<Types...>) {
            (require_shippable_closure<Types>(), ...);
        }(typename F::shipped_by_parts());
    else
        require_shippable_whole<F>();
}

template <class F>
inline constexpr bool is_guarded = !is_trusted<F> && may_hold_addresses<F>;

} // namespace detail

template <class F>
void write_closure(Writer& writer, const F& function) {
    if constexpr (ShippedByParts<F>) {
        function.visit_parts([&](const auto&... parts) { (write_closure(writer, parts), ...); });
    } else {
        detail::require_shippable_closure<F>();
        if constexpr (detail::is_function_like<F>)
            encode(writer, function);
        else if constexpr (detail::is_stateless<F>)
            return;
        else if constexpr (detail::is_guarded<F>)
            detail::write_guarded(writer, function);
        else
            copy_into(writer, function);
    }
}

template <class F>
F read_closure(Reader& reader);

namespace detail {

template <class F, class... Types>
F read_parts(Reader& reader, Parts<Types...>) {
    return F{read_closure<Types>(reader)...}; // braces: from left to right
}

} // namespace detail

template <class F>
F read_closure(Reader& reader) {
    if constexpr (ShippedByParts<F>)
        return detail::read_parts<F>(reader, typename F::shipped_by_parts());
    else if constexpr (detail::is_function_like<F>)
        return decode<F>(reader);
    else if constexpr (detail::is_stateless<F>)
        return F{};
    else if constexpr (detail::is_guarded<F>)
        return detail::read_guarded<F>(reader);
    else
        return copy_out_of<F>(reader);
}

} // namespace dshm::ship

namespace dshm {

using ship::trust;
using ship::Trusted;

} // namespace dshm
