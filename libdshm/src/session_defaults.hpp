// What addprocs takes from the session's options. Private to the library.
#pragma once

#include <string>
#include <vector>

#include "dshm/affinity.hpp"
#include "dshm/session.hpp"

namespace dshm {

struct SessionDefaults {
    Start start = Start::fork;
    Affinity affinity = Affinity::none();
    std::vector<std::string> arguments = {}; // what the program was started with, its name first
    int threads = 1; // at Session, unless the user has been told what they mean for forked workers
};

inline SessionDefaults& session_defaults() {
    static SessionDefaults defaults;
    return defaults;
}

// One line, once in a session: workers are forked although the program had threads when the launcher
// was.
void warn_of_threads();

} // namespace dshm
