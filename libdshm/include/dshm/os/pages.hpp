// Pages of shared mappings: made before they are used, large ones, and on which node they lie.
//
// All of these leave the contents alone and may be called for any part of a mapping, again and by
// several processes at once. Sources: madvise(2), mbind(2), get_mempolicy(2),
// Documentation/admin-guide/mm/transhuge.rst of the kernel.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>

namespace dshm::os {

inline constexpr std::size_t huge_page_size = std::size_t{2} << 20;

// Makes the pages of [first, first + size), zeroed, and maps them here. 0 or the error number:
// EFAULT when the file system is full (where a touch would be a SIGBUS), EINVAL where the kernel
// is older than 5.14.
int populate(std::byte* first, std::size_t size) noexcept;

// Asks for huge pages where pages are made from now on.
void advise_huge_pages(std::byte* first, std::size_t size) noexcept;
// Whether a huge page of the mapping lies at `address`.
bool is_huge_page(const std::byte* address);

// ---- nodes of memory ----------------------------------------------------------------------------

// Nodes with memory; 1 where the system does not tell. DSHM_NODES=n makes it n for tests: processor
// p lies on node p % n, and what is asked of a node that is not there is asked of another.
int node_count();
// Where a process runs: the node of the processors that it may use, or, when those are of several
// nodes, of the one that it used last. Nothing when it has gone.
std::optional<int> node_of_process(pid_t process);
// Pages of [first, first + size) that are made from now on, by anybody, come from that node while
// it has some. False when the system refuses.
bool prefer_node(std::byte* first, std::size_t size, int node) noexcept;
// The system's own choice again.
void prefer_no_node(std::byte* first, std::size_t size) noexcept;
// What was preferred for the page at `address`; nothing when nothing was.
std::optional<int> preferred_node(const std::byte* address) noexcept;

} // namespace dshm::os
