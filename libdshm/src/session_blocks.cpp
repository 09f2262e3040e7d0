#include "dshm/detail/session_blocks.hpp"

#include <algorithm>
#include <cstdio>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>

#include "dshm/memory_resource.hpp"
#include "dshm/runtime/process.hpp"

namespace dshm {

namespace detail {

namespace {

class BadAlignment : public std::bad_alloc {
public:
    const char* what() const noexcept override {
        return "dshm: blocks of the segment are aligned to 64 KiB at most";
    }
};

} // namespace

// Large blocks lie on whole chunks, small ones on 64 bytes.
void* allocate_session_block(std::size_t bytes, std::size_t alignment) {
    runtime::Process& process = runtime::current();
    if (alignment > most_block_alignment)
        throw BadAlignment();
    if (alignment > ship::block_alignment)
        bytes = std::max(bytes, std::size_t{shm::largest_small_block} + 1);
    const shm::Block block =
        process.heap().allocate(std::max<std::size_t>(bytes, 1), shm::Tag::session());
    return process.segment().base() + block.offset;
}

void free_session_block(void* block) noexcept {
    runtime::Process* process = runtime::current_or_null();
    if (process == nullptr || block == nullptr)
        return;
    const shm::Offset offset = process->segment().offset_of(block);
    if (!process->segment().contains(offset, 1) ||
        !process->heap().free(offset, shm::Tag::session()))
        std::fprintf(stderr,
                     "dshm: %p was freed, but it is no block of a dshm::Allocator, or it was freed "
                     "before\n",
                     block);
}

void throw_too_many(std::size_t count, std::size_t size) {
    throw std::length_error("dshm: " + std::to_string(count) + " elements of " +
                            std::to_string(size) + " bytes are more than a container can have");
}

shm::Offset offset_in_segment(const void* address) {
    const shm::Segment& segment = runtime::current().segment();
    const shm::Offset offset = segment.offset_of(address); // far out of bounds from elsewhere
    if (!segment.contains(offset, 1))
        throw std::invalid_argument(
            "dshm: a SegmentPtr can only point into the segment, to what dshm::construct or "
            "dshm::Allocator made, or into a SharedArray; this address lies in memory that only "
            "this process has");
    return offset;
}

void* address_in_segment(shm::Offset offset) {
    return runtime::current().segment().base() + offset;
}

} // namespace detail

// ------------------------------------------------------------------------------------------------
// The memory resource
// ------------------------------------------------------------------------------------------------

namespace {

class SegmentResource final : public std::pmr::memory_resource {
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
        return detail::allocate_session_block(bytes, alignment);
    }
    void do_deallocate(void* block, std::size_t, std::size_t) override {
        detail::free_session_block(block);
    }
    bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
        return dynamic_cast<const SegmentResource*>(&other) != nullptr;
    }
};

// Made before anything runs, so that it is whole, at the same address, in every forked process;
// never destroyed, because containers may outlive static objects.
union Immortal {
    SegmentResource resource;
    constexpr Immortal() : resource() {}
    ~Immortal() {}
};
constinit Immortal the_resource;

} // namespace

std::pmr::memory_resource* memory_resource() noexcept { return &the_resource.resource; }

bool segment_at_masters_address() {
    const runtime::Process& process = runtime::current();
    return process.header().master_address ==
           reinterpret_cast<std::uintptr_t>(process.segment().base());
}

} // namespace dshm
