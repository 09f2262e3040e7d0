// Layer queue: rings of hints in shared memory.
//
// Knows base, os, shm and sync. A ring never decides anything: its entries say where to look, and
// the state word of the item says what is true.
#pragma once

#include "dshm/queue/index_ring.hpp"
