// Codecs of smart pointers.
//
// What a unique_ptr holds is written behind a flag. What several shared_ptr or weak_ptr of one
// value share is written once and shared again on arrival, also in a cycle: a class with serialize
// or load functions exists before its members are read. A cycle through an object that is made from
// what was read (a container, a load_and_construct) cannot be rebuilt and is an EncodeError. A
// weak_ptr arrives alive if a shared_ptr in the same value keeps its object. Objects that are
// reached through a pointer to a polymorphic base are left to cereal, unless the class is final.
#pragma once

#include <memory>
#include <type_traits>
#include <utility>

#include "dshm/ship/codec_base.hpp"
#include "dshm/ship/codec_values.hpp"

namespace dshm::ship {

namespace detail {

[[noreturn]] void throw_cycle();

// Made first and filled after.
template <class T>
constexpr bool is_filled_in_place() {
    if constexpr (Codec<T>::native)
        return false;
    else
        return cereal::traits::is_input_serializable<T, ReadArchive>::value &&
               cereal::traits::is_default_constructible<T>::value;
}

template <class T>
std::unique_ptr<T> read_new(auto& source) {
    if constexpr (is_filled_in_place<T>()) {
        std::unique_ptr<T> object(cereal::access::construct<T>());
        source.delegate(*object);
        return object;
    } else if constexpr (Codec<T>::native) {
        return std::unique_ptr<T>(new T(Codec<T>::read(source)));
    } else {
        return load_and_construct<T>(source);
    }
}

template <class T>
std::shared_ptr<T> read_new_shared(ReadArchive& archive) {
    SharedObjectsRead& known = archive.shared_objects();
    const std::uint32_t number = known.add(typeid(T));
    if constexpr (is_filled_in_place<T>()) {
        const std::shared_ptr<T> object(cereal::access::construct<T>());
        known.fill(number, object);
        archive.delegate(*object);
        return object;
    } else {
        std::shared_ptr<T> object = read_new<T>(archive);
        known.fill(number, object);
        return object;
    }
}

template <class T>
void write_shared(WriteArchive& archive, const std::shared_ptr<T>& pointer) {
    using Object = std::remove_const_t<T>;
    SharedObjectsWritten& known = archive.shared_objects();
    const auto entry =
        pointer ? known.add(pointer, typeid(Object)) : SharedObjectsWritten::Entry{0, false, false};
    write_plain(archive.writer(), entry.number);
    if (entry.is_new) {
        Codec<Object>::write(archive, *pointer);
        known.finish(entry.number);
    } else if (entry.under_way && !is_filled_in_place<Object>()) {
        throw_cycle();
    }
}

template <class T>
std::shared_ptr<T> read_shared(ReadArchive& archive) {
    using Object = std::remove_const_t<T>;
    const auto number = read_plain<std::uint32_t>(archive.reader());
    if (number == 0)
        return nullptr;
    if (number == archive.shared_objects().next())
        return read_new_shared<Object>(archive);
    return std::static_pointer_cast<Object>(archive.shared_objects().find(number, typeid(Object)));
}

template <class T, class D>
void write_unique(auto& sink, const std::unique_ptr<T, D>& pointer) {
    Codec<bool>::write(sink, pointer != nullptr);
    if (pointer)
        Codec<std::remove_const_t<T>>::write(sink, *pointer);
}

template <class T>
std::unique_ptr<T> read_unique(auto& source) {
    if (!Codec<bool>::read(source))
        return nullptr;
    return read_new<std::remove_const_t<T>>(source);
}

// What cereal found to be the type of an object behind a pointer to its base.
template <class T>
void write_found(WriteArchive& archive, const std::shared_ptr<T>& pointer) {
    write_shared(archive, pointer);
}
template <class T, class D>
void write_found(WriteArchive& archive, const std::unique_ptr<T, D>& pointer) {
    write_unique(archive, pointer);
}
template <class T>
void read_found(ReadArchive& archive, std::shared_ptr<T>& pointer) {
    pointer = read_shared<T>(archive);
}
template <class T>
void read_found(ReadArchive& archive, std::unique_ptr<T>& pointer) {
    pointer = read_unique<T>(archive);
}

template <class Pointer>
void write_pointer(WriteArchive& archive, const Pointer& pointer) {
    write_found(archive, pointer);
}
template <class Pointer>
void read_pointer(ReadArchive& archive, Pointer& pointer) {
    read_found(archive, pointer);
}

// Behind a pointer to such a class there may be an object of a derived one.
template <class T>
inline constexpr bool may_be_derived = std::is_polymorphic_v<T> && !std::is_final_v<T>;

template <class T>
inline constexpr bool is_single_object = std::is_object_v<T> && !std::is_array_v<T>;

// A pointer that this library follows itself: one object of exactly its type.
template <class T>
struct PointeeCodec : NativeCodec<false, true> {};
template <class T>
requires is_single_object<T>
struct PointeeCodec<T> : NativeCodec<Codec<std::remove_const_t<T>>::valid,
                                     Codec<std::remove_const_t<T>>::needs_archive> {
};

// Left to cereal/types/polymorphic.hpp.
template <class Pointer>
struct PolymorphicCodec {
    static constexpr bool valid = has_cereal_functions<Pointer>();
    static constexpr bool native = false;
    static constexpr bool needs_archive = true;

    static void write(WriteArchive& archive, const Pointer& pointer) { archive.delegate(pointer); }
    static Pointer read(ReadArchive& archive) {
        Pointer pointer;
        archive.delegate(pointer);
        return pointer;
    }
};

} // namespace detail

template <class T>
requires(!detail::may_be_derived<T>) struct Codec<std::unique_ptr<T>> : detail::PointeeCodec<T> {
    static void write(auto& sink, const std::unique_ptr<T>& pointer) {
        detail::write_unique(sink, pointer);
    }
    static std::unique_ptr<T> read(auto& source) { return detail::read_unique<T>(source); }
};

template <class T>
requires(!detail::may_be_derived<T>) struct Codec<std::shared_ptr<T>> : detail::PointeeCodec<T> {
    static constexpr bool needs_archive = true;

    static void write(WriteArchive& archive, const std::shared_ptr<T>& pointer) {
        detail::write_shared(archive, pointer);
    }
    static std::shared_ptr<T> read(ReadArchive& archive) { return detail::read_shared<T>(archive); }
};

template <class T>
requires(!detail::may_be_derived<T>) struct Codec<std::weak_ptr<T>> : detail::PointeeCodec<T> {
    static constexpr bool needs_archive = true;

    static void write(WriteArchive& archive, const std::weak_ptr<T>& pointer) {
        detail::write_shared(archive, pointer.lock());
    }
    static std::weak_ptr<T> read(ReadArchive& archive) { return detail::read_shared<T>(archive); }
};

template <class T>
requires detail::may_be_derived<T>
struct Codec<std::unique_ptr<T>> : detail::PolymorphicCodec<std::unique_ptr<T>> {
};
template <class T>
requires detail::may_be_derived<T>
struct Codec<std::shared_ptr<T>> : detail::PolymorphicCodec<std::shared_ptr<T>> {
};
template <class T>
requires detail::may_be_derived<T>
struct Codec<std::weak_ptr<T>> : detail::PolymorphicCodec<std::weak_ptr<T>> {
};

// How a deleter of the program's own wants its objects made is not known.
template <class T, class D>
requires(!std::is_same_v<D, std::default_delete<T>>) struct Codec<std::unique_ptr<T, D>>
    : detail::NativeCodec<false> {
};

} // namespace dshm::ship
