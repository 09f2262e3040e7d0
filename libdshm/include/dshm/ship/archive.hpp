// cereal archives that write straight into a payload and read straight out of it, without a stream.
//
// They serve types with cereal functions (serialize, save and load, load_and_construct, minimal and
// versioned forms, what the headers of cereal/types add). Whatever codec.hpp knows itself takes its
// own path, also inside such a type: a member that is a vector of doubles is one memcpy, and no
// cereal/types header is needed for standard containers and smart pointers. Pointers to polymorphic
// classes are left to cereal/types/polymorphic.hpp, which the program includes; what it finds
// behind them comes back here.
//
// Every value takes at least one byte, so a count of elements can be checked against the bytes that
// are left before anything is allocated. Values nested deeper than the stack allows are an error
// instead of a crash.
#pragma once

#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>

#include <cereal/cereal.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/string.hpp>

#include "dshm/ship/bitwise.hpp"
#include "dshm/ship/buffer.hpp"
#include "dshm/ship/shared_objects.hpp"

namespace dshm::ship {

// How values of type T are written and read; codec.hpp has the specialisations and says what they
// provide.
template <class T>
struct Codec;

class WriteArchive;
class ReadArchive;

namespace detail {

// A type that cereal makes from what it reads, instead of filling one that is there.
template <class T>
constexpr bool loads_and_constructs() {
    if constexpr (!std::is_class_v<T>)
        return false;
    else
        return cereal::traits::has_load_and_construct<T, ReadArchive>::value;
}

template <class T>
constexpr bool has_cereal_functions() {
    if constexpr (!std::is_class_v<T> && !std::is_union_v<T>)
        return false;
    else
        return cereal::traits::is_output_serializable<T, WriteArchive>::value &&
               (cereal::traits::is_input_serializable<T, ReadArchive>::value ||
                loads_and_constructs<T>());
}

template <class T>
constexpr bool left_to_cereal() {
    if constexpr (!std::is_class_v<T>)
        return false;
    else if constexpr (std::is_base_of_v<cereal::traits::detail::BaseCastBase, T>)
        return true;
    else if constexpr (std::is_copy_assignable_v<T> && std::is_default_constructible_v<T>)
        return false;
    else
        return cereal::traits::is_output_serializable<T, WriteArchive>::value;
}

template <class T>
struct LeftToCereal : std::bool_constant<left_to_cereal<T>()> {};

// Stack that nested values of one payload may use; a task's stack has 8 MiB.
inline constexpr std::uintptr_t nesting_stack_bytes = std::uintptr_t{3} << 20;

class NestingGuard {
public:
    bool too_deep() const noexcept { return start_ - here() > nesting_stack_bytes; }

private:
    [[gnu::always_inline]] static std::uintptr_t here() noexcept {
        return reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    }
    std::uintptr_t start_ = here();
};

[[noreturn]] void throw_nested_too_deeply(bool reading);

// cereal's small wrappers, which mean something to an archive.
template <class T>
inline constexpr bool is_name_value = false;
template <class T>
inline constexpr bool is_name_value<cereal::NameValuePair<T>> = true;
template <class T>
inline constexpr bool is_size_tag = false;
template <class T>
inline constexpr bool is_size_tag<cereal::SizeTag<T>> = true;
template <class T>
inline constexpr bool is_binary_data = false;
template <class T>
inline constexpr bool is_binary_data<cereal::BinaryData<T>> = true;
template <class T>
inline constexpr bool is_pointer_wrapper = false;
template <class T>
inline constexpr bool is_pointer_wrapper<cereal::memory_detail::PtrWrapper<T>> = true;

// Defined in codec_pointers.hpp.
template <class Pointer>
void write_pointer(WriteArchive& archive, const Pointer& pointer);
template <class Pointer>
void read_pointer(ReadArchive& archive, Pointer& pointer);

} // namespace detail

class WriteArchive : public cereal::OutputArchive<WriteArchive, cereal::AllowEmptyClassElision> {
    using Base = cereal::OutputArchive<WriteArchive, cereal::AllowEmptyClassElision>;

public:
    explicit WriteArchive(Writer& writer) : Base(this), writer_(writer) {}

    Writer& writer() noexcept { return writer_; }
    SharedObjectsWritten& shared_objects() noexcept { return shared_objects_; }

    template <class... Types>
    WriteArchive& operator()(Types&&... values) {
        (put(values), ...);
        return *this;
    }
    template <class T>
    WriteArchive& operator&(T&& value) {
        return (*this)(value);
    }
    template <class T>
    WriteArchive& operator<<(T&& value) {
        return (*this)(value);
    }

    void saveBinary(const void* data, std::size_t size) { writer_.copy(data, size, 1); }

    // Through the functions of cereal.
    template <class T>
    void delegate(const T& value) {
        if (nesting_.too_deep()) [[unlikely]]
            detail::throw_nested_too_deeply(false);
        const std::size_t start = writer_.written();
        Base::operator()(value);
        if (writer_.written() == start)
            writer_.reserve(1, 1);
    }

private:
    template <class T>
    void put(const T& value) {
        if constexpr (detail::is_name_value<T>)
            put(value.value);
        else if constexpr (detail::is_size_tag<T>)
            put(static_cast<std::size_t>(value.size));
        else if constexpr (detail::is_binary_data<T>)
            saveBinary(value.data, static_cast<std::size_t>(value.size));
        else if constexpr (detail::is_pointer_wrapper<T>)
            detail::write_pointer(*this, value.ptr);
        else if constexpr (std::is_array_v<T>)
            for (const auto& element : value)
                put(element);
        else if constexpr (Codec<T>::native)
            Codec<T>::write(*this, value);
        else
            delegate(value);
    }

    Writer& writer_;
    SharedObjectsWritten shared_objects_;
    detail::NestingGuard nesting_;
};

class ReadArchive : public cereal::InputArchive<ReadArchive, cereal::AllowEmptyClassElision> {
    using Base = cereal::InputArchive<ReadArchive, cereal::AllowEmptyClassElision>;

public:
    explicit ReadArchive(Reader& reader) : Base(this), reader_(reader) {}

    Reader& reader() noexcept { return reader_; }
    SharedObjectsRead& shared_objects() noexcept { return shared_objects_; }

    template <class... Types>
    ReadArchive& operator()(Types&&... values) {
        (get(values), ...);
        return *this;
    }
    template <class T>
    ReadArchive& operator&(T&& value) {
        return (*this)(value);
    }
    template <class T>
    ReadArchive& operator>>(T&& value) {
        return (*this)(value);
    }

    void loadBinary(void* data, std::size_t size) { reader_.copy(data, size, 1); }

    template <class T>
    void delegate(T& value) {
        if (nesting_.too_deep()) [[unlikely]]
            detail::throw_nested_too_deeply(true);
        const std::size_t start = reader_.position();
        Base::operator()(value);
        if (reader_.position() == start)
            reader_.take(1, 1);
    }

private:
    template <class T>
    void get(T& value) {
        if constexpr (detail::is_name_value<T>)
            get(value.value);
        else if constexpr (detail::is_size_tag<T>)
            value.size = static_cast<cereal::size_type>(reader_.take_count(1));
        else if constexpr (detail::is_binary_data<T>)
            loadBinary(value.data, static_cast<std::size_t>(value.size));
        else if constexpr (detail::is_pointer_wrapper<T>)
            detail::read_pointer(*this, value.ptr);
        else if constexpr (std::is_array_v<T>)
            for (auto& element : value)
                get(element);
        else if constexpr (Codec<T>::native)
            replace(value, Codec<T>::read(*this));
        else
            delegate(value);
    }

    // Handles have const members: they cannot be assigned, but a new one can take the place of the
    // old.
    template <class T>
    static void replace(T& target, T&& value) {
        if constexpr (std::is_move_assignable_v<T>) {
            target = std::move(value);
        } else {
            std::destroy_at(std::addressof(target));
            std::construct_at(std::addressof(target), std::move(value));
        }
    }

    Reader& reader_;
    SharedObjectsRead shared_objects_;
    detail::NestingGuard nesting_;
};

// What cereal's own functions hand to an archive from inside the base class (save_minimal, class
// versions).
template <class T>
requires std::is_arithmetic_v<T>
void save(WriteArchive& archive, const T& value) {
    archive.writer().copy(&value, sizeof value, alignof(T));
}
template <class T>
requires std::is_arithmetic_v<T>
void load(ReadArchive& archive, T& value) {
    archive.reader().copy(&value, sizeof value, alignof(T));
}
template <class T>
void save(WriteArchive& archive, const cereal::BinaryData<T>& data) {
    archive.saveBinary(data.data, static_cast<std::size_t>(data.size));
}
template <class T>
void load(ReadArchive& archive, cereal::BinaryData<T>& data) {
    archive.loadBinary(data.data, static_cast<std::size_t>(data.size));
}
template <class T>
void save(WriteArchive& archive, const cereal::SizeTag<T>& tag) {
    archive(tag);
}
template <class T>
void load(ReadArchive& archive, cereal::SizeTag<T>& tag) {
    archive(tag);
}
template <class T>
void save(WriteArchive& archive, const cereal::NameValuePair<T>& pair) {
    archive(pair.value);
}
template <class T>
void load(ReadArchive& archive, cereal::NameValuePair<T>& pair) {
    archive(pair.value);
}

} // namespace dshm::ship

CEREAL_REGISTER_ARCHIVE(dshm::ship::WriteArchive)
CEREAL_REGISTER_ARCHIVE(dshm::ship::ReadArchive)
CEREAL_SETUP_ARCHIVE_TRAITS(dshm::ship::ReadArchive, dshm::ship::WriteArchive)
