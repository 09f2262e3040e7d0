// What a codec is, and the pieces that all of them are made of: single values and runs of elements
// as bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>

#include "dshm/ship/archive.hpp"
#include "dshm/ship/bitwise.hpp"
#include "dshm/ship/buffer.hpp"

namespace dshm::ship {

// Codec<T> provides
//     valid          T can be sent;
//     native         it is written here rather than by cereal;
//     needs_archive  it, or something in it, is written by cereal;
//     write_only     (optional) it arrives as another type, and has no read;
//     write(sink, const T&), read(source) -> T
// A sink is a Writer or a WriteArchive, a source is a Reader or a ReadArchive, and always an
// archive if needs_archive.
//
namespace detail {

// Through the load_and_construct of T.
template <class T>
std::unique_ptr<T> load_and_construct(ReadArchive& archive);

} // namespace detail

// The primary template stands for what is left to cereal.
template <class T>
struct Codec {
    static constexpr bool valid = detail::has_cereal_functions<T>();
    static constexpr bool native = false;
    static constexpr bool needs_archive = true;

    static void write(WriteArchive& archive, const T& value) { archive.delegate(value); }
    static T read(ReadArchive& archive) {
        if constexpr (!cereal::traits::is_input_serializable<T, ReadArchive>::value) {
            return std::move(*detail::load_and_construct<T>(archive));
        } else if constexpr (std::is_default_constructible_v<T>) {
            T value{};
            archive.delegate(value);
            return value;
        } else {
            static_assert(cereal::traits::is_default_constructible<T>::value,
                          "dshm: a type with cereal functions is received into a default "
                          "constructed object; give it a default constructor, which may be private "
                          "if cereal::access is a friend.");
            const std::unique_ptr<T> value(cereal::access::construct<T>());
            archive.delegate(*value);
            return std::move(*value);
        }
    }
};

namespace detail {

template <class T>
inline constexpr bool is_write_only = requires {
    Codec<T>::write_only;
};

} // namespace detail

// A value type that can go to another process and come back.
template <class T>
concept Shippable =
    std::is_object_v<T> && !std::is_const_v<T> && Codec<T>::valid && !detail::is_write_only<T>;

namespace detail {

// Room for a T that cereal constructs, or not, before something throws.
template <class T>
class RoomToConstruct {
public:
    RoomToConstruct() : room_(std::allocator<T>().allocate(1)), wrapper_(room_) {}
    ~RoomToConstruct() {
        if (room_ == nullptr)
            return;
        if (constructed())
            std::destroy_at(room_);
        std::allocator<T>().deallocate(room_, 1);
    }
    RoomToConstruct(const RoomToConstruct&) = delete;
    RoomToConstruct& operator=(const RoomToConstruct&) = delete;

    auto& wrapper() noexcept { return wrapper_; }
    // Throws cereal::Exception if it was not constructed.
    std::unique_ptr<T> release() {
        wrapper_.construct.ptr();
        return std::unique_ptr<T>(std::exchange(room_, nullptr)); // std::allocator uses new
    }

private:
    bool constructed() noexcept {
        try {
            return wrapper_.construct.ptr() != nullptr;
        } catch (const cereal::Exception&) {
            return false;
        }
    }

    T* room_;
    cereal::memory_detail::LoadAndConstructLoadWrapper<ReadArchive, T> wrapper_;
};

template <class T>
std::unique_ptr<T> load_and_construct(ReadArchive& archive) {
    RoomToConstruct<T> room;
    archive.delegate(room.wrapper());
    return room.release();
}

inline Writer& bytes_of(Writer& writer) { return writer; }
inline Writer& bytes_of(WriteArchive& archive) { return archive.writer(); }
inline Reader& bytes_of(Reader& reader) { return reader; }
inline Reader& bytes_of(ReadArchive& archive) { return archive.reader(); }

// What every specialisation in this file shares.
template <bool Valid, bool NeedsArchive = false>
struct NativeCodec {
    static constexpr bool valid = Valid;
    static constexpr bool native = true;
    static constexpr bool needs_archive = NeedsArchive;
};

// A composite is as good as its parts.
template <bool WriteOnly>
struct MaybeWriteOnly {};
template <>
struct MaybeWriteOnly<true> {
    static constexpr bool write_only = true;
};

template <class... Parts>
struct CompositeCodec
    : NativeCodec<(Codec<Parts>::valid && ...), (Codec<Parts>::needs_archive || ...)>,
      MaybeWriteOnly<(is_write_only<Parts> || ...)> {};

// Runs of at least this size are never inline in a task record, and start on a cache line of their
// block.
inline constexpr std::size_t bulk_bytes = 256;

constexpr std::size_t run_alignment(std::size_t natural, std::size_t bytes) {
    return bytes >= bulk_bytes ? block_alignment : natural;
}

// The elements alone; whoever reads them knows how many there are.
template <class T>
void write_elements(Writer& writer, const T* data, std::size_t count) {
    writer.copy(data, count * sizeof(T), run_alignment(alignof(T), count * sizeof(T)));
}

template <class T>
std::span<const T> read_elements(Reader& reader, std::size_t count) {
    static_assert(alignof(T) <= block_alignment,
                  "dshm: elements with an alignment above 64 bytes cannot be read out of a block; "
                  "remove their alignas.");
    if (count > reader.remaining() / sizeof(T)) [[unlikely]]
        throw_count_too_large(count, reader.remaining());
    const std::byte* data =
        reader.take(count * sizeof(T), run_alignment(alignof(T), count * sizeof(T)));
    return {std::launder(reinterpret_cast<const T*>(data)), count};
}

// A count and that many elements.
template <class T>
void write_run(Writer& writer, const T* data, std::size_t count) {
    writer.copy(&count, sizeof count, alignof(std::size_t));
    write_elements(writer, data, count);
}

template <class T>
std::span<const T> read_run(Reader& reader) {
    return read_elements<T>(reader, reader.take_count(sizeof(T)));
}

// A single value is never looked at in place, so a large alignment of its type need not keep it out
// of a task record.
template <class T>
void write_plain(Writer& writer, const T& value) {
    writer.copy(std::addressof(value), sizeof(T), std::min(alignof(T), inline_alignment));
}

template <class T>
T read_plain(Reader& reader) {
    if constexpr (alignof(T) <= inline_alignment && std::is_copy_constructible_v<T>) {
        return *std::launder(reinterpret_cast<const T*>(reader.take(sizeof(T), alignof(T))));
    } else {
        alignas(T) std::byte image[sizeof(T)];
        reader.copy(image, sizeof(T), std::min(alignof(T), inline_alignment));
        return std::move(*std::launder(reinterpret_cast<T*>(image)));
    }
}

[[noreturn]] void throw_wrong_alternative(std::size_t index, std::size_t alternatives);
[[noreturn]] void throw_valueless_variant();
[[noreturn]] void throw_null_text();

} // namespace detail

} // namespace dshm::ship
