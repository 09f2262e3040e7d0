// DSHM_CHECK: an assertion against our own bugs, on in every build.
//
// Never used on what a caller passed (that is an exception at the boundary), nor on what another
// process wrote (that is a checked error). It aborts, because a broken invariant in shared memory
// must not spread.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace dshm::base {

[[noreturn]] inline void check_failed(const char* text, const char* file, int line) {
    std::fprintf(stderr, "dshm: internal error at %s:%d: %s\n", file, line, text);
    std::abort();
}

} // namespace dshm::base

#define DSHM_CHECK(condition, text)                                                                \
    (static_cast<bool>(condition) ? void() : ::dshm::base::check_failed(text, __FILE__, __LINE__))
