// The cold paths of payload cursors and codecs: the sentences of their errors.
#include "dshm/ship/buffer.hpp"

#include <stdexcept>
#include <string>

#include "dshm/ship/archive.hpp"
#include "dshm/ship/codec_base.hpp"

namespace dshm::ship::detail {

void throw_writer_full(std::size_t asked, std::size_t left) {
    throw EncodeError(
        "a value needs " + std::to_string(asked) + " bytes and its block has " +
        std::to_string(left) +
        " left; its serialize function gave more when it wrote than when it was measured");
}

void throw_reader_short(std::size_t asked, std::size_t left) {
    throw DecodeError("a block is truncated or damaged, or was written as another type: " +
                      std::to_string(asked) + " bytes should follow and " + std::to_string(left) +
                      " are left");
}

void throw_count_too_large(std::size_t count, std::size_t left) {
    throw DecodeError(
        "a block is damaged, or was written as another type: " + std::to_string(count) +
        " elements should follow and only " + std::to_string(left) + " bytes are left");
}

void throw_nested_too_deeply(bool reading) {
    const char* text = "values are nested so deeply that the stack would overflow";
    if (reading)
        throw DecodeError(text);
    throw EncodeError(text);
}

void throw_wrong_alternative(std::size_t index, std::size_t alternatives) {
    throw DecodeError("a block is damaged, or was written as another type: alternative " +
                      std::to_string(index) + " of a variant of " + std::to_string(alternatives));
}

void throw_valueless_variant() {
    throw EncodeError("a std::variant that lost its value to an exception cannot be sent");
}

void throw_null_text() {
    throw std::invalid_argument("a null const char* cannot be sent as a string");
}

} // namespace dshm::ship::detail
