// The tag: the word that says whose a block of the heap is.
//
//   63      56 55              28 27            4 3    0
//   |  0xd5   |  generation, 32 bits  | index, 20 | kind |    ARG, RES, OBJ
//   |  0xd5   |                   0   | owner, 24 | kind |    OWN, LEAVING
//   |  0xd5   |  chunks, 28 bits  |     owner, 24 | kind |    WARM (runs of chunks only)
//   |  0xd5   |                           0  | kind |    SESSION
//   |                       0                            |    FREE
//
// (The generation of ARG, RES and OBJ lies in bits 24 to 55.) The mark in the highest byte keeps a
// stray number of a user's from looking like a tag. FREE is zero, so that zero-filled memory holds
// free blocks.
#pragma once

#include <cstdint>

#include "dshm/base/bits.hpp"
#include "dshm/shm/identity.hpp"

namespace dshm::shm {

enum class TagKind : std::uint8_t {
    free = 0,
    own = 1,      // of a process: goes with it
    argument = 2, // of a task that has not ended
    result = 3,   // of a task that has ended
    object = 4,   // of an entry of the object table
    leaving = 5,  // a run of chunks that a process is taking apart, or about to keep warm
    warm = 6,     // a run of chunks that nobody uses, kept whole
    session = 7,  // of nobody in particular: until somebody frees it, or the session ends
    foreign = 15, // not a tag at all
};

struct Tag {
    std::uint64_t bits = 0;

    static constexpr Tag own(Owner owner) { return of_process(TagKind::own, owner); }
    static constexpr Tag argument(std::uint32_t task, std::uint32_t generation) {
        return handed_over(TagKind::argument, task, generation);
    }
    static constexpr Tag result(std::uint32_t task, std::uint32_t generation) {
        return handed_over(TagKind::result, task, generation);
    }
    static constexpr Tag object(std::uint32_t index, std::uint32_t generation) {
        return handed_over(TagKind::object, index, generation);
    }
    static constexpr Tag leaving(Owner owner) { return of_process(TagKind::leaving, owner); }
    static constexpr Tag warm(Owner owner, std::uint64_t chunks) {
        return {of_process(TagKind::warm, owner).bits | LengthField::put(chunks)};
    }

    static constexpr Tag session() {
        return {MarkField::put(mark) |
                KindField::put(static_cast<std::uint64_t>(TagKind::session))};
    }

    constexpr TagKind kind() const {
        if (bits == 0)
            return TagKind::free;
        const std::uint64_t kind = KindField::get(bits);
        const bool known = kind >= 1 && kind <= std::uint64_t{7} && MarkField::get(bits) == mark;
        return known ? static_cast<TagKind>(kind) : TagKind::foreign;
    }
    // Somebody uses the block: the tags that a caller of the heap may give and expect.
    constexpr bool in_use() const {
        const TagKind k = kind();
        return (k >= TagKind::own && k <= TagKind::object) || k == TagKind::session;
    }
    // The block belongs to a task or an object, not to a process.
    constexpr bool handed_over() const {
        return kind() >= TagKind::argument && kind() <= TagKind::object;
    }
    // Names a process: OWN, LEAVING or WARM of exactly this one.
    constexpr bool names(Owner owner) const {
        const TagKind k = kind();
        return (k == TagKind::own || k == TagKind::leaving || k == TagKind::warm) &&
               this->owner() == owner;
    }

    constexpr Owner owner() const { return Owner::from_bits(OwnerField::get(bits)); }
    constexpr std::uint32_t index() const {
        return static_cast<std::uint32_t>(IndexField::get(bits));
    }
    constexpr std::uint32_t generation() const {
        return static_cast<std::uint32_t>(GenerationField::get(bits));
    }
    constexpr std::uint64_t chunks() const { return LengthField::get(bits); }

    friend constexpr bool operator==(const Tag&, const Tag&) = default;

private:
    using KindField = base::Field<0, 4>;
    using OwnerField = base::Field<4, 24>;
    using IndexField = base::Field<4, 20>;
    using GenerationField = base::Field<24, 32>;
    using LengthField = base::Field<28, 28>;
    using MarkField = base::Field<56, 8>;
    static constexpr std::uint64_t mark = 0xd5;

    static constexpr Tag of_process(TagKind kind, Owner owner) {
        return {MarkField::put(mark) | OwnerField::put(owner.bits()) |
                KindField::put(static_cast<std::uint64_t>(kind))};
    }
    static constexpr Tag handed_over(TagKind kind, std::uint32_t index, std::uint32_t generation) {
        return {MarkField::put(mark) | GenerationField::put(generation) | IndexField::put(index) |
                KindField::put(static_cast<std::uint64_t>(kind))};
    }
};

static_assert(sizeof(Tag) == 8, "a tag is one word of the segment");
static_assert(Tag{}.kind() == TagKind::free, "zero-filled memory holds free blocks");

} // namespace dshm::shm
