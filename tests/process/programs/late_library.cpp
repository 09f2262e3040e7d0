#include "late_library.hpp"

#include <dshm/dshm.hpp>

#include <cstdlib>
#include <string>

namespace {

int add_build(int value) { return value + LATE_BUILD; }

// Its initialiser asks for a function, as a library may; and it leaves a trace, so that a build that
// must not run is seen to have run.
struct Initialiser {
    Initialiser() {
        setenv("LATE_LIBRARY_BUILD", std::to_string(LATE_BUILD).c_str(), 1);
        dshm::ship::function_id_of(reinterpret_cast<const void*>(&add_build));
    }
};

const Initialiser initialiser;

} // namespace

int late_answer(int value) { return add_build(value); }

int late_call(int worker, int value) {
    return dshm::fetch_from(worker, [value] { return add_build(value); });
}
