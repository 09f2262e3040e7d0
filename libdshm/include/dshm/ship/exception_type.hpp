// DSHM_EXCEPTION(T): a program's own exception type that keeps its type when it crosses processes.
//
// T derives from std::exception and has either a default constructor and cereal functions, so that
// it arrives with its members, or a constructor from its what() string. Written once, at global
// scope, where T is defined or used; it is in force before main. Without it, T arrives as
// std::runtime_error with its name and message.
#pragma once

#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <vector>

#include "dshm/ship/codec.hpp"
#include "dshm/ship/exception_record.hpp"

namespace dshm::ship {

struct ExceptionType {
    const std::type_info* type;
    // The members, or nothing for a type that is made from its message.
    std::vector<std::byte> (*save)(const std::exception& exception);
    // Null if the record has neither members nor a way from the message.
    std::exception_ptr (*rebuild)(std::shared_ptr<const ExceptionRecord> record);
};

// Before main, or under the caller's own lock. Always true, so that it can initialise a constant.
bool register_exception_type(const ExceptionType& type);

namespace detail {

template <class T>
inline constexpr bool travels_with_members = std::is_default_constructible_v<T>&& Shippable<T>;
template <class T>
inline constexpr bool made_from_text = std::is_constructible_v<T, const std::string&>;

// A copy of bytes with the alignment of a block.
class AlignedBytes {
public:
    explicit AlignedBytes(std::size_t size);
    explicit AlignedBytes(const std::vector<std::byte>& bytes);
    ~AlignedBytes();
    AlignedBytes(const AlignedBytes&) = delete;
    AlignedBytes& operator=(const AlignedBytes&) = delete;

    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }

private:
    std::size_t size_;
    std::byte* data_;
};

template <class T>
std::vector<std::byte> save_members(const std::exception& exception) {
    if constexpr (travels_with_members<T>) {
        const T& value = dynamic_cast<const T&>(exception);
        const AlignedBytes bytes(footprint(value).size);
        Writer writer(bytes.data(), bytes.size());
        encode(writer, value);
        return {bytes.data(), bytes.data() + bytes.size()};
    } else {
        return {};
    }
}

template <class T>
std::exception_ptr rebuild_registered(std::shared_ptr<const ExceptionRecord> record) {
    if constexpr (travels_with_members<T>) {
        if (!record->payload.empty()) {
            const AlignedBytes bytes(record->payload);
            Reader reader(bytes.data(), bytes.size());
            return rebuilt_as<T>(decode<T>(reader), record);
        }
    }
    if constexpr (made_from_text<T>)
        return rebuilt_as<T>(T(record->message), record);
    return nullptr;
}

template <class T>
bool register_exception() {
    static_assert(std::is_base_of_v<std::exception, T>,
                  "DSHM_EXCEPTION: the type must derive from std::exception.");
    static_assert(
        !std::is_final_v<T>,
        "DSHM_EXCEPTION: the type must not be final, because what arrives derives from it.");
    static_assert(travels_with_members<T> || made_from_text<T>,
                  "DSHM_EXCEPTION: the type needs a default constructor and cereal's serialize, or "
                  "a constructor from the string "
                  "that its what() returned.");
    return register_exception_type({&typeid(T), &save_members<T>, &rebuild_registered<T>});
}

template <class T>
inline const bool exception_registered = false;

} // namespace detail

} // namespace dshm::ship

#define DSHM_EXCEPTION(...)                                                                        \
    template <>                                                                                    \
    inline const bool dshm::ship::detail::exception_registered<__VA_ARGS__> =                      \
        dshm::ship::detail::register_exception<__VA_ARGS__>();                                     \
    static_assert(true)
