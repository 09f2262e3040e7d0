// Breaks the layer rule: a layer does not know the public headers.
#include <dshm/session.hpp>
