// Values into payloads and out of them.
//
//     Footprint need = footprint(values...);             // first pass: counts
//     Writer writer(block, need.size);                   // block aligned to need.alignment
//     encode(writer, values...);                         // second pass: writes, in the same places
//
//     Reader reader(block, size);
//     auto text = decode<std::string>(reader);           // in the same order
//     auto view = decode<std::span<const double>>(reader);   // lies in the block
//
// Trivially copyable values cross by memcpy, contiguous runs of them by one memcpy; containers
// element by element; types with cereal functions through the archives of archive.hpp. Views are
// written as what they show and read in place. Encoding and decoding work on memory of the caller
// alone and may be called from any thread. Errors: EncodeError, DecodeError, and whatever a type's
// own functions throw; nothing is left behind but an unpublished payload.
#pragma once

#include <string>
#include <type_traits>
#include <utility>

#include "dshm/ship/codec_base.hpp"
#include "dshm/ship/codec_composites.hpp"
#include "dshm/ship/codec_pointers.hpp"
#include "dshm/ship/codec_standard.hpp"
#include "dshm/ship/codec_values.hpp"

namespace dshm::ship {

namespace detail {

template <class T>
constexpr void require_shippable() {
    static_assert(!(std::is_pointer_v<T> && !Codec<T>::valid),
                  "dshm: a raw pointer cannot be sent to another process, because what it points "
                  "to is not there; send the "
                  "value itself, a std::span of it, or put it into a SharedArray.");
    static_assert(std::is_pointer_v<T> || Codec<T>::valid,
                  "dshm: this type cannot be sent to another process: it is not trivially "
                  "copyable, not a handle of dshm, not a "
                  "standard container or an Eigen matrix of such (include <dshm/eigen.hpp>), and "
                  "cereal finds no functions for "
                  "it; give it a member template <class Archive> void serialize(Archive&).");
}

template <class Error, class F>
decltype(auto) with_errors_of_cereal(F&& body) {
    try {
        return body();
    } catch (const cereal::Exception& error) {
        throw Error(std::string("dshm: ") + error.what());
    }
}

} // namespace detail

namespace detail {

// One archive for each value: a shared_ptr that occurs twice is one object within a value, not
// across values.
template <class T>
void encode_one(Writer& writer, const T& value) {
    require_shippable<T>();
    if constexpr (!Codec<T>::valid) {
        return; // one sentence is enough
    } else if constexpr (Codec<T>::needs_archive) {
        with_errors_of_cereal<EncodeError>([&] {
            WriteArchive archive(writer);
            Codec<T>::write(archive, value);
        });
    } else {
        Codec<T>::write(writer, value);
    }
}

} // namespace detail

template <class... Ts>
void encode(Writer& writer, const Ts&... values) {
    (detail::encode_one(writer, values), ...);
}

template <class... Ts>
Footprint footprint(const Ts&... values) {
    Sizer sizer;
    encode(sizer, values...);
    return sizer.footprint();
}

template <class T>
T decode(Reader& reader) {
    detail::require_shippable<T>();
    if constexpr (!Codec<T>::valid) {
        throw DecodeError("not reached: this does not compile"); // one sentence is enough
    } else if constexpr (Codec<T>::needs_archive) {
        return detail::with_errors_of_cereal<DecodeError>([&] {
            ReadArchive archive(reader);
            return Codec<T>::read(archive);
        });
    } else {
        return Codec<T>::read(reader);
    }
}

} // namespace dshm::ship
