// What is known of a SharedArray beside its elements: the note behind them in their block.
//
//   0        8           16      20      24      28      32         36       40       48       56      64
//   | closed | type hash | dims  | parts | name  | type  | path     | flags  | offset | device | inode |
//   64 …      participants' ids, 4 bytes each; then the texts: name, type, path, without ends
//
// Written by the array's maker before it tells anybody of the object, and not changed afterwards, but
// for `closed`. Until then it is zeros, an array without name and participants, which is also what is
// left when the maker dies before; the object then goes with it. An array in a file has no elements in
// its block: the note is all of it, and its last words say where the file is. A program of another
// build reads the note, so lengths are believed only as far as the segment reaches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dshm/runtime/process_table.hpp"
#include "dshm/shm/object_table.hpp"

namespace dshm::runtime {

// Where the elements of an array lie that are in a file.
struct FilePlace {
    std::string path; // absolute
    std::uint64_t offset = 0;
    std::uint64_t device = 0, inode = 0; // of the file that the maker opened
    bool read_only = false;
};

// What the maker says.
struct ArrayPlan {
    std::uint32_t dimensions = 1;
    std::vector<WorkerId> participants;
    std::string name;          // empty: without
    std::string_view type;     // of the elements, as the compiler spells it
    std::string_view type_key; // the same for comparing: its mangled name
    std::optional<FilePlace> file;
};

struct ArrayNote {
    shm::Word64 closed; // 1 once somebody has closed the array
    std::uint64_t type_hash;
    std::uint32_t dimensions;
    std::uint32_t participant_count;
    std::uint32_t name_length;
    std::uint32_t type_length;
    std::uint32_t path_length;
    std::uint32_t flags;
    std::uint64_t file_offset;
    std::uint64_t file_device;
    std::uint64_t file_inode;

    static constexpr std::uint32_t read_only_flag = 1;

    static std::size_t bytes_for(const ArrayPlan& plan);
    // Into zeroed bytes.
    static void write(std::byte* target, const ArrayPlan& plan);
    // Of a live array; null when its lengths reach out of the segment.
    static ArrayNote* find(const shm::Segment& segment, const shm::ObjectView& view);

    bool read_only() const { return (flags & read_only_flag) != 0; }
    std::span<const WorkerId> participants() const;
    std::string_view name() const { return text(0, name_length); }
    std::string_view type() const { return text(name_length, type_length); }
    std::string_view path() const {
        return text(std::size_t{name_length} + type_length, path_length);
    }

private:
    const std::byte* variable_part() const {
        return reinterpret_cast<const std::byte*>(this) + sizeof(ArrayNote);
    }
    std::string_view text(std::size_t begin, std::size_t length) const;
    std::size_t size() const;
};

static_assert(sizeof(WorkerId) == 4, "the diagram above");
static_assert(sizeof(ArrayNote) == 64 && offsetof(ArrayNote, dimensions) == 16 &&
                  offsetof(ArrayNote, flags) == 36 && offsetof(ArrayNote, file_offset) == 40,
              "the diagram above, which strangers read by");

} // namespace dshm::runtime
