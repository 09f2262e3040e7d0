// A parameter through which the caller's object would be changed.
// expect: dshm: a span parameter must be a span of const
#include <span>
#include <vector>

#include "dshm/ship/parameters.hpp"

#ifdef DSHM_CONTROL
using View = std::span<const double>;
#else
using View = std::span<double>;
#endif

void call(dshm::ship::Reader& reader) {
    auto first = [](View view) { return view[0]; };
    static_cast<void>(dshm::ship::invoke_decoded<std::vector<double>>(first, reader));
}
