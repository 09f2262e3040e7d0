// Breaks the layer rule: there is no layer of this name.
#include <dshm/base/bits.hpp>
