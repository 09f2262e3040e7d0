// Layer launch: the launcher process, its workers, and the master's link to it.
//
// Knows all layers above. The launcher is forked by Session before main goes on; it has one thread,
// forks workers from the state that the program had then or starts fresh processes of it, relays
// their output, and is the only one that recovers after a death. Boost.Process is behind
// fresh_program.hpp.
#pragma once

#include "dshm/launch/attachment.hpp"
#include "dshm/launch/fresh_program.hpp"
#include "dshm/launch/fresh_worker.hpp"
#include "dshm/launch/handover.hpp"
#include "dshm/launch/join_word.hpp"
#include "dshm/launch/launcher.hpp"
#include "dshm/launch/link.hpp"
#include "dshm/launch/output_relay.hpp"
#include "dshm/launch/requests.hpp"
#include "dshm/launch/start_worker.hpp"
#include "dshm/launch/worker.hpp"
#include "dshm/launch/worker_command.hpp"
#include "dshm/launch/worker_setup.hpp"
