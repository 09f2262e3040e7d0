// Names of functions, as the symbol tables of an ELF file give them: those of the linker where the
// file was not stripped, so also of static functions, else those of the dynamic loader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dshm::os {

// For each address, counted as the file counts them, the mangled name of the function there; empty
// where there is none, or no such file. Reads the tables each time: some milliseconds.
std::vector<std::string> function_names(const std::string& path,
                                        std::span<const std::uint64_t> addresses);

// The same in the bytes of a file, for the names that are empty yet; they lie in the file. Reads
// nothing outside it, whatever it says. Allocates nothing.
void find_function_names(std::span<const std::byte> file, std::span<const std::uint64_t> addresses,
                         std::span<std::string_view> names) noexcept;

} // namespace dshm::os
