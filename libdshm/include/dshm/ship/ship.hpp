// Layer ship: how functions, closures, values and exceptions cross from one process to another.
//
// Knows base, os and shm (of shm only Word and SharedMemoryExhausted). cereal is used here and
// nowhere else. Everything works on payloads, byte ranges that the caller owns; nothing here knows
// of tasks, the heap or processes. Two resident types live here, ModuleTable and HandleRef; all
// others are private to a process.
//
//     buffer.hpp            payloads: Footprint, Writer, Sizer, Reader
//     shipping.hpp          handles: HandleRef, HandleList, ShippingScope; objects shipped by copy
//     bitwise.hpp           which types are sent as their bytes
//     archive.hpp           cereal archives over payloads
//     codec_base.hpp        what a codec is; Shippable
//     codec_values.hpp      single values, strings, runs, views
//     codec_composites.hpp  pairs to containers
//     codec_pointers.hpp    smart pointers
//     codec_standard.hpp    forward_list, valarray, adapters, paths, error codes
//     shared_objects.hpp    what the shared pointers of one value share
//     codec.hpp             footprint, encode, decode
//     wire.hpp              WireType: as what a type crosses
//     parameters.hpp        decode_as, invoke_decoded: arguments to parameters
//     capture_guard.hpp     what a closure may hold, and what is translated
//     closure.hpp           write_closure, read_closure, trust
//     function_id.hpp       FunctionId
//     module_table.hpp      ModuleTable, ModuleRegistry
//     exceptions.hpp        the exceptions of dshm
//     exception_record.hpp  ExceptionRecord, capture, rebuild
//     exception_type.hpp    DSHM_EXCEPTION
//     throw_recorder.hpp    ThrowRecorder: where a task's exceptions were thrown
//     stack_text.hpp        stacks of throws, as words and as text
#pragma once

#include "dshm/ship/archive.hpp"
#include "dshm/ship/bitwise.hpp"
#include "dshm/ship/buffer.hpp"
#include "dshm/ship/capture_guard.hpp"
#include "dshm/ship/closure.hpp"
#include "dshm/ship/codec.hpp"
#include "dshm/ship/codec_base.hpp"
#include "dshm/ship/codec_composites.hpp"
#include "dshm/ship/codec_pointers.hpp"
#include "dshm/ship/codec_standard.hpp"
#include "dshm/ship/codec_values.hpp"
#include "dshm/ship/exception_record.hpp"
#include "dshm/ship/exception_type.hpp"
#include "dshm/ship/exceptions.hpp"
#include "dshm/ship/function_id.hpp"
#include "dshm/ship/module_table.hpp"
#include "dshm/ship/parameters.hpp"
#include "dshm/ship/shared_objects.hpp"
#include "dshm/ship/shipping.hpp"
#include "dshm/ship/stack_text.hpp"
#include "dshm/ship/throw_recorder.hpp"
#include "dshm/ship/wire.hpp"
