// Layer base: constants, bits, checks and scope guards.
//
// Knows nothing: includes only the standard library. Everything here is constexpr or header-only,
// makes no system call and holds no state.
#pragma once

#include "dshm/base/bits.hpp"
#include "dshm/base/check.hpp"
#include "dshm/base/scope_guard.hpp"
