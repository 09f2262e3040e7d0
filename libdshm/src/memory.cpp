#include "dshm/memory.hpp"

#include "dshm/runtime/process.hpp"

namespace dshm {

std::size_t trim() { return runtime::current().heap().give_back(); }

} // namespace dshm
