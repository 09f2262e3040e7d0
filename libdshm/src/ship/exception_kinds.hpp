// The exception types that keep their type on the way: the standard ones, those of dshm, and those
// that were registered. Internal to the bodies of this layer.
#pragma once

#include <cstdint>
#include <exception>
#include <memory>

#include "dshm/ship/exception_record.hpp"

namespace dshm::ship {

// Sets kind, numbers, detail and payload of a record from the exception's dynamic type.
void describe(ExceptionRecord& record, const std::exception& error);

// The exception of a record; std::runtime_error where its kind is unknown or its data does not give
// the type again.
std::exception_ptr rebuild_kind(std::shared_ptr<const ExceptionRecord> record);

std::uint32_t runtime_error_kind() noexcept;

} // namespace dshm::ship
