// Layer shm: the segment, its layout, its heap and its table of shared objects.
//
// Knows base and os. Two kinds of types live here and are never mixed: resident types lie in the
// segment (fixed layout, Words and offsets, no pointers, no virtuals, no constructors: zero-filled
// memory is their initial state) and handles live in a process (addresses, RAII). Whoever dies
// half-way leaves words that name it; `recover` functions, called by the launcher alone, put those
// right.
#pragma once

#include "dshm/shm/backing.hpp"
#include "dshm/shm/exhausted.hpp"
#include "dshm/shm/find_segment.hpp"
#include "dshm/shm/heap.hpp"
#include "dshm/shm/identity.hpp"
#include "dshm/shm/layout.hpp"
#include "dshm/shm/object_table.hpp"
#include "dshm/shm/segment.hpp"
#include "dshm/shm/word.hpp"
