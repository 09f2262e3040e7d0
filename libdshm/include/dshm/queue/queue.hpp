// Layer queue: rings in shared memory.
//
// Knows base, os, shm and sync. The index ring never decides anything: its entries say where to
// look, and the state word of the item says what is true. In the channel ring the cells are the
// items, and so are the words of a member queue.
#pragma once

#include "dshm/queue/channel_consumer.hpp"
#include "dshm/queue/channel_producer.hpp"
#include "dshm/queue/channel_ring.hpp"
#include "dshm/queue/index_ring.hpp"
#include "dshm/queue/member_queue.hpp"
