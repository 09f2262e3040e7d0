// Blocks of the shared heap that belong to the session: nobody's in particular, freed by any
// process, or with the session. For the allocator and the memory resource.
//
// A process that is killed takes none of them along: a block that it alone knew about stays until
// the session ends.
#pragma once

#include <cstddef>

#include "dshm/shm/layout.hpp"

namespace dshm::detail {

// What a block can be aligned to.
inline constexpr std::size_t most_block_alignment = shm::chunk_size;

// At least `bytes` bytes; more than 64 bytes of alignment cost a block of 64 KiB at least. Throws
// SharedMemoryExhausted, std::bad_alloc for more alignment than `most_block_alignment`,
// std::logic_error without a session.
void* allocate_session_block(std::size_t bytes, std::size_t alignment);
// What the former gave, in any process. Does nothing after the session; says so on standard error
// when it is no such block, or was freed before.
void free_session_block(void* block) noexcept;

[[noreturn]] void throw_too_many(std::size_t count, std::size_t size);

// Where an address lies in the segment. Throws std::invalid_argument for one that lies elsewhere.
shm::Offset offset_in_segment(const void* address);
// Throws std::logic_error without a session.
void* address_in_segment(shm::Offset offset);

} // namespace dshm::detail
