// The one place that knows which Catch2 is installed.
//
// Tests include this header and nothing of Catch2's own, and compile with version 2 (one header,
// Debian 12) and version 3 (a library). What the two spell differently is put into words of our own
// below, in `dshm::test`.

#pragma once

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
#define DSHM_CATCH_VERSION 3
#else
#include <catch2/catch.hpp>
#define DSHM_CATCH_VERSION 2
#endif

#include <string>

namespace dshm::test {

/// Matches a text that has `part` in it: `REQUIRE_THAT(what, contains("removed"))`.
inline auto contains(const std::string& part) {
#if DSHM_CATCH_VERSION == 3
    return Catch::Matchers::ContainsSubstring(part);
#else
    return Catch::Matchers::Contains(part);
#endif
}

/// Matches a text that begins with `part`.
inline auto starts_with(const std::string& part) {
    return Catch::Matchers::StartsWith(part);
}

/// A number to compare floating-point results with: `CHECK(x == approximately(0.1))`.
inline auto approximately(double value) {
#if DSHM_CATCH_VERSION == 3
    return Catch::Approx(value);
#else
    return Catch::Detail::Approx(value);
#endif
}

} // namespace dshm::test
