// What addprocs takes from the session's options. Private to the library.
#pragma once

#include "dshm/affinity.hpp"
#include "dshm/session.hpp"

namespace dshm {

struct SessionDefaults {
    Start start = Start::fork;
    Affinity affinity = Affinity::none();
};

inline SessionDefaults& session_defaults() {
    static SessionDefaults defaults;
    return defaults;
}

} // namespace dshm
