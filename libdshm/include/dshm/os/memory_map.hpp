// The address space of this process, as the kernel describes it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace dshm::os {

struct MemoryRegion {
    std::uintptr_t first = 0; // [first, last)
    std::uintptr_t last = 0;
    bool accessible = false; // not kept back by PROT_NONE
    bool shared = false;     // a MAP_SHARED mapping
    std::string name;        // "[heap]", "[stack]", the path of a file, or nothing

    friend bool operator==(const MemoryRegion&, const MemoryRegion&) = default;
};

// The mappings of this process by address, from /proc/self/maps: some 50 µs. Empty where that
// cannot be read. Other threads may map and unmap meanwhile.
std::vector<MemoryRegion> memory_regions();

// Copies bytes of this process from an address that may be wrong. False, and nothing copied that counts,
// when they cannot all be read. Below a microsecond; where the kernel refuses process_vm_readv, as
// memory_regions().
bool copy_if_readable(void* to, const void* from, std::size_t size);

// Whether the address lies in any mapping: one system call, some 100 ns.
bool is_mapped(std::uintptr_t address) noexcept;

// The end of the heap that grows with the program break. No system call with glibc.
std::uintptr_t program_break() noexcept;

} // namespace dshm::os
