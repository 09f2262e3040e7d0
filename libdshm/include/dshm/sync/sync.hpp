// Layer sync: how processes wait for each other.
//
// Knows base, os and shm. A doorbell wakes a process that sleeps; a wait policy says how long it is
// worth spinning before. (The sync *block* of the API is dshm/sync.hpp.)
#pragma once

#include "dshm/sync/doorbell.hpp"
#include "dshm/sync/spin_budget.hpp"
