// A closure that captures by reference.
// expect: dshm: this callable cannot be sent to another process, because it captures something by reference
// expect: pass that value as an argument of the call or put it into a SharedArray, or write dshm::trust(f)
#include "dshm/ship/closure.hpp"

void write(dshm::ship::Writer& writer, int number) {
#ifdef DSHM_CONTROL
    dshm::ship::write_closure(writer, [number] { return number; });
#else
    dshm::ship::write_closure(writer, [&number] { return number; });
#endif
}
