// libdshm: Julia's Distributed and SharedArrays for C++ on one Linux machine. Includes the whole
// API.
#pragma once

#include "dshm/affinity.hpp"
#include "dshm/counters.hpp"
#include "dshm/distributed.hpp"
#include "dshm/eigen.hpp"
#include "dshm/errors.hpp"
#include "dshm/everywhere.hpp"
#include "dshm/future.hpp"
#include "dshm/interrupt.hpp"
#include "dshm/pmap.hpp"
#include "dshm/processes.hpp"
#include "dshm/range.hpp"
#include "dshm/retry.hpp"
#include "dshm/session.hpp"
#include "dshm/share.hpp"
#include "dshm/shared_array.hpp"
#include "dshm/spawn.hpp"
#include "dshm/sync.hpp"
#include "dshm/timedwait.hpp"
#include "dshm/wait_any.hpp"
