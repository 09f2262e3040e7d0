// Layer launch: the launcher process, its workers, and the master's link to it.
//
// Knows all layers above. The launcher is forked by Session before main goes on; it has one thread,
// forks workers from the state that the program had then, relays their output, and is the only one
// that recovers after a death.
#pragma once

#include "dshm/launch/launcher.hpp"
#include "dshm/launch/link.hpp"
#include "dshm/launch/output_relay.hpp"
#include "dshm/launch/requests.hpp"
#include "dshm/launch/worker.hpp"
