#include "dshm/detail/array_storage.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

#include "dshm/detail/array_request.hpp"
#include "dshm/errors.hpp"
#include "dshm/processes.hpp"
#include "dshm/runtime/call.hpp"
#include "dshm/runtime/first_touch.hpp"
#include "dshm/runtime/names.hpp"

namespace dshm::detail {

namespace {

std::string list_of(std::span<const std::size_t> numbers) {
    std::string text;
    for (const std::size_t number : numbers)
        // Signed: whoever wrote -1 sees -1.
        text += (text.empty() ? "" : ", ") + std::to_string(static_cast<std::ptrdiff_t>(number));
    return "(" + text + ")";
}

shm::ObjectDescription describe(const ArrayShape& shape, std::uint64_t kind) {
    shm::ObjectDescription description{.kind = kind, .type_hash = shape.elements.bits()};
    std::copy(shape.dims.begin(), shape.dims.end(), description.user.begin());
    return description;
}

runtime::ObjectHandle make_in_segment(const ArrayShape& shape, const runtime::ArrayPlan& plan) {
    require_free_array_name(plan.name);
    const std::size_t bytes = checked_bytes(shape.dims, shape.elements.size);
    const std::size_t element = std::max<std::size_t>(shape.elements.size, 1);
    const runtime::FirstTouch touch(runtime::current(), plan.participants, bytes / element,
                                    element);
    const runtime::ObjectHandle object(bytes, describe(shape, runtime::object_kind::array),
                                       runtime::ArrayNote::bytes_for(plan));
    runtime::ArrayNote::write(
        static_cast<std::byte*>(object.address()) + shm::ObjectTable::note_offset(0, bytes), plan);
    return object;
}

runtime::ObjectHandle make_note(const ArrayShape& shape, const runtime::ArrayPlan& plan) {
    const runtime::ObjectHandle object(runtime::ArrayNote::bytes_for(plan),
                                       describe(shape, runtime::object_kind::file_array));
    runtime::ArrayNote::write(static_cast<std::byte*>(object.address()), plan);
    return object;
}

bool same_type(const runtime::ArrayNote& note, std::uint64_t elements, const ArrayShape& wanted) {
    if (elements != wanted.elements.bits())
        return false;
    // What numbers are is plain from their kind and size: long and long long are the same here.
    return wanted.elements.kind != ElementKind::other ||
           note.type_hash == runtime::hash_of_name(wanted.type_key);
}

[[noreturn]] void throw_other_type(const std::string& name, const runtime::ArrayNote& note,
                                   std::string_view type, std::size_t dimensions) {
    throw std::invalid_argument("dshm: '" + name + "' is a SharedArray<" +
                                std::string(note.type()) + ", " + std::to_string(note.dimensions) +
                                ">, not a SharedArray<" + std::string(type) + ", " +
                                std::to_string(dimensions) + ">");
}

} // namespace

// ------------------------------------------------------------------------------------------------
// Storage
// ------------------------------------------------------------------------------------------------

ArrayStorage::ArrayStorage(runtime::ObjectHandle object)
    : object_(std::move(object)), data_(locate()) {}

ArrayStorage::ArrayStorage(const ArrayShape& shape, std::vector<WorkerId> participants,
                           std::string name)
    : ArrayStorage(
          make_in_segment(shape, {.dimensions = static_cast<std::uint32_t>(shape.dims.size()),
                                  .participants = std::move(participants),
                                  .name = std::move(name),
                                  .type = shape.type,
                                  .type_key = shape.type_key,
                                  .file = {}})) {}

// Nothing of the session is made before the file is complete.
ArrayStorage ArrayStorage::in(runtime::ArrayFile& file, const ArrayShape& shape,
                              std::vector<WorkerId> participants, std::string name) {
    os::FileView view = file.map();
    file.complete();
    const runtime::ObjectHandle object =
        make_note(shape, {.dimensions = static_cast<std::uint32_t>(shape.dims.size()),
                          .participants = std::move(participants),
                          .name = std::move(name),
                          .type = shape.type,
                          .type_key = shape.type_key,
                          .file = file.place()});
    file.unlock();
    return {object, runtime::current().file_mappings().adopt(object.object(), std::move(view),
                                                             file.place())};
}

ArrayStorage ArrayStorage::open(const std::string& name, const ArrayShape& wanted,
                                std::span<std::size_t> dims) {
    ArrayStorage found(runtime::open_named(runtime::object_kind::array, name));
    const auto view = runtime::current().objects().view(found.object_.object());
    const runtime::ArrayNote& note = found.note();
    if (!same_type(note, view.description.type_hash, wanted) || note.dimensions != dims.size())
        throw_other_type(name, note, wanted.type, dims.size());
    std::copy_n(view.description.user.begin(), dims.size(), dims.begin());
    return found;
}

ArrayStorage::ArrayStorage(const ArrayStorage& other) : object_(other.object_), data_(locate()) {}

ArrayStorage& ArrayStorage::operator=(const ArrayStorage& other) {
    ArrayStorage copy(other);
    unmap();
    object_ = copy.object_;
    data_ = locate();
    return *this;
}

std::byte* ArrayStorage::locate() const {
    auto* const block = static_cast<std::byte*>(object_.address());
    if (block == nullptr)
        return nullptr;
    runtime::Process& process = runtime::current();
    const auto view = process.objects().view(object_.object());
    if (view.description.kind != runtime::object_kind::file_array) [[likely]]
        return block;
    return process.file_mappings().hold(object_.object(), bytes_of_elements(view));
}

void ArrayStorage::unmap() noexcept {
    if (in_file() && object_.holds())
        runtime::current().file_mappings().let_go(object_.object());
    data_ = nullptr;
}

std::size_t bytes_of_elements(const shm::ObjectView& view) {
    if (view.description.kind != runtime::object_kind::file_array)
        return view.bytes;
    const auto* note = runtime::ArrayNote::find(runtime::current().segment(), view);
    std::size_t bytes = Elements::from_bits(view.description.type_hash).size;
    for (std::size_t k = 0; note != nullptr && k < note->dimensions && k < 4; ++k)
        bytes *= view.description.user[k];
    return bytes;
}

namespace {

void require_not_closed(const runtime::ArrayNote* note) {
    // relaxed: who closes and who looks agree by other means about when.
    if (note == nullptr || note->closed.load(std::memory_order_relaxed) != 0)
        throw std::out_of_range("dshm: this SharedArray has been closed, or never was one");
}

} // namespace

void ArrayStorage::require_open(std::size_t bytes) const {
    if (empty())
        require_not_closed(nullptr);
    object_.check_session();
    const auto* const block = static_cast<const std::byte*>(object_.address());
    const std::size_t behind = in_file() ? 0 : shm::ObjectTable::note_offset(0, bytes);
    require_not_closed(reinterpret_cast<const runtime::ArrayNote*>(block + behind));
}

runtime::ArrayNote& ArrayStorage::note() const {
    runtime::ArrayNote& note = find_note();
    require_not_closed(&note);
    return note;
}

runtime::ArrayNote& ArrayStorage::find_note() const {
    if (empty())
        require_not_closed(nullptr);
    object_.check_session();
    runtime::Process& process = runtime::current();
    const auto view = process.objects().view(object_.object());
    runtime::ArrayNote* const note = runtime::ArrayNote::find(process.segment(), view);
    if (note == nullptr)
        throw std::runtime_error("dshm: the description of this SharedArray is damaged");
    return *note;
}

void ArrayStorage::require_writable(const char* call) const {
    if (note().read_only())
        throw std::invalid_argument(
            "dshm: " + std::string(call) +
            ": this SharedArray is a file that was opened with mode(\"r\") and "
            "can only be read; open it with mode(\"r+\")");
}

void ArrayStorage::publish(const std::string& name) const {
    runtime::give_name(object_, runtime::object_kind::array, name);
}

void ArrayStorage::close() {
    if (empty())
        return;
    // relaxed: as in require_not_closed().
    find_note().closed.store(1, std::memory_order_relaxed);
    runtime::current().objects().withdraw_name(object_.object());
    unmap();
    object_ = runtime::ObjectHandle();
    data_ = nullptr;
}

// ------------------------------------------------------------------------------------------------
// Parts and sizes
// ------------------------------------------------------------------------------------------------

void require_free_array_name(const std::string& name) {
    if (!name.empty())
        runtime::require_free_name(runtime::object_kind::array, name);
}

std::vector<WorkerId> participants_of(const OnKeyword& on) {
    std::vector<WorkerId> sorted = on.ids;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end())
        throw std::invalid_argument("dshm: on: process " + std::to_string(*twice) +
                                    " is named twice; an array has one part for each participant");
    for (const WorkerId id : on.ids)
        runtime::member_of(runtime::current(), id); // throws for one that is not there
    return on.ids;
}

std::vector<WorkerId> alive_among(const std::vector<WorkerId>& ids) {
    runtime::Process& process = runtime::current();
    std::vector<WorkerId> alive;
    std::copy_if(ids.begin(), ids.end(), std::back_inserter(alive),
                 [&](WorkerId id) { return process.find_member(id).has_value(); });
    return alive;
}

Range part_of_array(std::size_t n, std::size_t parts, std::size_t part) {
    const std::size_t used = parts_with_elements(n, parts);
    if (part >= used)
        return {0, 0};
    const std::size_t each = n / used;
    const std::size_t end = part + 1 == used ? n : (part + 1) * each;
    return {static_cast<std::ptrdiff_t>(part * each), static_cast<std::ptrdiff_t>(end)};
}

std::size_t checked_dim(bool negative, std::size_t value) {
    if (negative)
        throw std::invalid_argument("dshm: a SharedArray has no negative dimension, such as " +
                                    std::to_string(static_cast<std::ptrdiff_t>(value)));
    return value;
}

std::size_t checked_bytes(std::span<const std::size_t> dims, std::size_t element) {
    // A dimension of 0 makes the others harmless.
    if (std::find(dims.begin(), dims.end(), std::size_t{0}) != dims.end())
        return 0;
    std::size_t bytes = element;
    for (const std::size_t dim : dims)
        if (__builtin_mul_overflow(bytes, dim, &bytes) ||
            bytes > static_cast<std::size_t>(std::numeric_limits<std::ptrdiff_t>::max()))
            throw std::length_error("dshm: a SharedArray of dimensions " + list_of(dims) +
                                    " has more bytes than a word can count");
    return bytes;
}

void throw_index_out_of_range(std::span<const std::size_t> indices,
                              std::span<const std::size_t> dims) {
    throw std::out_of_range("dshm: index " + list_of(indices) +
                            " is outside a SharedArray of dimensions " + list_of(dims));
}

void throw_not_aligned() {
    throw std::logic_error(
        "dshm: atomic: the elements of this SharedArray lie at an offset of their "
        "file that is no multiple of their size; atomic ones must be aligned");
}

runtime::FileSpec checked_spec(runtime::FileSpec spec, const ArrayShape& shape, bool initialised) {
    if (spec.mode == "r" && initialised)
        throw std::invalid_argument("dshm: map_file: '" + spec.path +
                                    "' cannot be initialised with mode 'r', which only reads; "
                                    "use mode 'r+'");
    spec.bytes = checked_bytes(shape.dims, shape.elements.size);
    return spec;
}

void throw_other_size(const char* call, std::span<const std::size_t> dims, std::size_t elements) {
    throw DimensionMismatch("dshm: " + std::string(call) + ": dimensions " + list_of(dims) +
                            " do not make the " + std::to_string(elements) +
                            " elements of the array");
}

} // namespace dshm::detail
