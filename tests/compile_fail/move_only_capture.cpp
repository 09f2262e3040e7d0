// A closure that cannot be copied.
// expect: dshm: this callable cannot be sent to another process, because it cannot be copied
#include <memory>

#include "dshm/ship/closure.hpp"

struct Owner {
    Owner() = default;
#ifdef DSHM_CONTROL
    Owner(const Owner&) = default;
#endif
    Owner(Owner&&) = default;

    int operator()() const { return 1; }
    int state = 0;
};

void write(dshm::ship::Writer& writer) { dshm::ship::write_closure(writer, Owner()); }
