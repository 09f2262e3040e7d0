// What a SharedArray is apart from its shape: a hold on the object, and where its elements lie in this
// process.
//
// The object is an array, with its elements in the segment, or a file_array, whose elements lie in a
// file that each process maps for itself. The note (array_note.hpp) says the rest: who takes part, the
// type, the name. If the maker dies half-way nothing is left (object_table.hpp). For the library.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dshm/detail/array_elements.hpp"
#include "dshm/keywords.hpp"
#include "dshm/range.hpp"
#include "dshm/runtime/array_file.hpp"
#include "dshm/runtime/array_note.hpp"
#include "dshm/runtime/object_handle.hpp"

namespace dshm::detail {

// What is asked of an array that is made or opened.
struct ArrayShape {
    std::span<const std::size_t> dims;
    Elements elements;
    std::string_view type;     // of the elements, as people read it
    std::string_view type_key; // and as programs compare it
};

class ArrayStorage {
public:
    // Of no array: as if it had been closed.
    ArrayStorage() = default;
    // New and zeroed, in the segment. Throws what the constructors of SharedArray do.
    ArrayStorage(const ArrayShape& shape, std::vector<WorkerId> participants, std::string name);
    // In a file, which is completed; the caller keeps it when all is well. Throws what `map_file` does.
    static ArrayStorage in(runtime::ArrayFile& file, const ArrayShape& shape,
                           std::vector<WorkerId> participants, std::string name);
    // Another handle of an array, or of any other object.
    explicit ArrayStorage(runtime::ObjectHandle object);
    // By name. Throws std::out_of_range when there is none, and std::invalid_argument when it is not
    // of that type and number of dimensions; sets `dims`.
    static ArrayStorage open(const std::string& name, const ArrayShape& wanted,
                             std::span<std::size_t> dims);
    ArrayStorage(const ArrayStorage& other);
    ArrayStorage& operator=(const ArrayStorage& other);
    ~ArrayStorage() { unmap(); }

    // Throw std::out_of_range when the array is closed, std::logic_error when its session is over.
    runtime::ArrayNote& note() const;
    // The same, for an array of so many bytes, and cheaper.
    void require_open(std::size_t bytes) const;
    // Null in a payload, and when closed by way of this handle.
    std::byte* data() const { return data_; }
    bool empty() const { return data_ == nullptr; }
    bool in_file() const { return data_ != nullptr && data_ != object_.address(); }
    // Throws std::invalid_argument, naming `call`, when the array may only be read.
    void require_writable(const char* call) const;
    // Gives it its name, for everybody. Throws std::invalid_argument when it is taken.
    void publish(const std::string& name) const;
    // For all its handles; this one lets go of it.
    void close();

    const runtime::ObjectHandle& object() const { return object_; }

private:
    // Data that is mapped already.
    ArrayStorage(runtime::ObjectHandle object, std::byte* data)
        : object_(std::move(object)), data_(data) {}

    runtime::ArrayNote& find_note() const;
    std::byte* locate() const;
    void unmap() noexcept;

    runtime::ObjectHandle object_;
    std::byte* data_ = nullptr;
};

// The bytes of an array's elements, wherever they are.
std::size_t bytes_of_elements(const shm::ObjectView& view);

// Throws std::invalid_argument when there is an array of that name, unless it is empty. May wait a
// moment, so not under the names' lock.
void require_free_array_name(const std::string& name);

// The participants that `on(...)` names, or all workers. Throws std::invalid_argument for one that is
// named twice or was never there, ProcessExitedException for one that has ended.
std::vector<WorkerId> participants_of(const OnKeyword& on);

// Those of them that live.
std::vector<WorkerId> alive_among(const std::vector<WorkerId>& ids);

// Part `part` of n elements in `parts` parts: all as long, and the last takes the rest; with more parts
// than elements, one element each for the first.
Range part_of_array(std::size_t n, std::size_t parts, std::size_t part);
// How many of the parts have elements.
inline std::size_t parts_with_elements(std::size_t n, std::size_t parts) {
    return n < parts ? n : parts;
}

// Throws std::invalid_argument for a negative one.
std::size_t checked_dim(bool negative, std::size_t value);
// The bytes of an array. Throws std::length_error when a word cannot count them.
std::size_t checked_bytes(std::span<const std::size_t> dims, std::size_t element);
[[noreturn]] void throw_index_out_of_range(std::span<const std::size_t> indices,
                                           std::span<const std::size_t> dims);
[[noreturn]] void throw_not_aligned();
[[noreturn]] void throw_other_size(const char* call, std::span<const std::size_t> dims,
                                   std::size_t elements);

} // namespace dshm::detail
