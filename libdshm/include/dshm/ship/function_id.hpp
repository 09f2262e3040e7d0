// The identity of a function, or of any object of a loaded image, that is right in every process of
// a session.
//
// Processes lay their images out differently, so an address means nothing elsewhere. {module,
// offset} does: the module is a row of the segment's module table, found by build id, and the
// offset counts from where the module is loaded.
#pragma once

#include <cstdint>

#include "dshm/base/bits.hpp"

namespace dshm::ship {

//   63          48 47                                   0
//   | module + 1  |  offset in the loaded image          |      all zero: no function
struct FunctionId {
    using Offset = base::Field<0, 48>;
    using Module = base::Field<48, 16>;

    std::uint64_t bits = 0;

    static constexpr FunctionId of(std::uint64_t module, std::uint64_t offset) noexcept {
        return {Module::put(module + 1) | Offset::put(offset)};
    }
    constexpr bool null() const noexcept { return bits == 0; }
    constexpr std::uint64_t module() const noexcept { return Module::get(bits) - 1; }
    constexpr std::uint64_t offset() const noexcept { return Offset::get(bits); }

    friend constexpr bool operator==(FunctionId, FunctionId) = default;
};

static_assert(sizeof(FunctionId) == 8, "one word of a task record");

// Through the registry of this process (ModuleRegistry::make_current). A null address has the null
// identity and back.
FunctionId function_id_of(const void* address);
const void* function_address(FunctionId function);
// The same for who only wants to know: opens no library, and gives null for a function of a module
// that is not loaded here.
const void* loaded_function_address(FunctionId function);

} // namespace dshm::ship
