// The cold paths of payload cursors and codecs: the sentences of their errors.
#include "dshm/ship/buffer.hpp"

#include <future>
#include <ios>
#include <stdexcept>
#include <string>
#include <system_error>

#include "dshm/ship/codec.hpp"

namespace dshm::ship {

namespace detail {

void throw_damaged(const std::string& what) {
    throw DecodeError("dshm: a block is damaged, or was written as another type: " + what);
}

} // namespace detail

const std::shared_ptr<void>& SharedObjectsRead::find(std::uint32_t number,
                                                     const std::type_info& type) const {
    if (number == 0 || number > objects_.size())
        detail::throw_damaged("a shared object "
                              "that was not sent");
    const Entry& entry = objects_[number - 1];
    if (*entry.type != type || entry.object == nullptr)
        detail::throw_damaged("a shared object of "
                              "another type, or one that holds itself");
    return entry.object;
}

namespace detail {

void throw_writer_full(std::size_t asked, std::size_t left) {
    throw EncodeError(
        "dshm: a value needs " + std::to_string(asked) + " bytes and its block has " +
        std::to_string(left) +
        " left; its serialize function gave more when it wrote than when it was measured");
}

void throw_reader_short(std::size_t asked, std::size_t left) {
    throw DecodeError("dshm: a block is truncated or damaged, or was written as another type: " +
                      std::to_string(asked) + " bytes should follow and " + std::to_string(left) +
                      " are left");
}

void throw_count_too_large(std::size_t count, std::size_t left) {
    throw_damaged(std::to_string(count) + " elements should follow and only " +
                  std::to_string(left) + " bytes are left");
}

void throw_nested_too_deeply(bool reading) {
    const char* text = "dshm: values are nested so deeply that the stack would overflow";
    if (reading)
        throw DecodeError(text);
    throw EncodeError(text);
}

void throw_wrong_alternative(std::size_t index, std::size_t alternatives) {
    throw_damaged("alternative " + std::to_string(index) + " of a variant of " +
                  std::to_string(alternatives));
}

void throw_valueless_variant() {
    throw EncodeError("dshm: a std::variant that lost its value to an exception cannot be sent");
}

void throw_null_text() {
    throw std::invalid_argument("dshm: a null const char* cannot be sent as a string");
}

void throw_cycle() {
    throw EncodeError(
        "dshm: shared pointers form a cycle through an object that is made from its parts "
        "(a container, or a type with load_and_construct); let the cycle pass "
        "through types with serialize or load only");
}

void throw_unknown_category(std::string_view name, bool reading) {
    const std::string category(name.substr(0, 100));
    if (reading)
        throw_damaged("there is no error "
                      "category called " +
                      category);
    throw EncodeError("dshm: an error code of the category " + category +
                      " cannot be sent, because only those of the standard library are the same "
                      "in every process; send its value and its message");
}

const std::error_category* category_named(std::string_view name) noexcept {
    for (const std::error_category* category : {&std::generic_category(), &std::system_category(),
                                                &std::iostream_category(), &std::future_category()})
        if (name == category->name())
            return category;
    return nullptr;
}

} // namespace detail

} // namespace dshm::ship
