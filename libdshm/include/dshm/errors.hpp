// The exceptions that dshm throws, and DSHM_EXCEPTION to add your own to those that cross processes
// with their type.
//
//     struct ParseError : std::runtime_error { using std::runtime_error::runtime_error; };
//     DSHM_EXCEPTION(ParseError);     // at global scope; now a fetch throws ParseErrors
//
// RemoteException, ProcessExitedException, CompositeException, InvalidStateException,
// InterruptException, DimensionMismatch, EncodeError, DecodeError, UnknownFunction:
// dshm/ship/exceptions.hpp. SharedMemoryExhausted: dshm/shm/exhausted.hpp. Misuse of the library
// throws std::invalid_argument, std::out_of_range or std::logic_error.
#pragma once

#include "dshm/ship/exception_type.hpp"
#include "dshm/ship/exceptions.hpp"
#include "dshm/shm/exhausted.hpp"
