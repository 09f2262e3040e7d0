// A raw pointer as an argument.
// expect: dshm: a raw pointer cannot be sent to another process, because what it points to is not there
#include "dshm/ship/codec.hpp"

dshm::ship::Footprint size_of(int* pointer) {
#ifdef DSHM_CONTROL
    return dshm::ship::footprint(*pointer);
#else
    return dshm::ship::footprint(pointer);
#endif
}
