// A payload of its own, allocated to the byte, so that a sanitizer sees every read outside it.
#pragma once

#include <cstddef>
#include <cstring>
#include <new>
#include <vector>

#include "catch.hpp"
#include "dshm/ship/codec.hpp"

namespace dshm::test {

class Payload {
public:
    explicit Payload(std::size_t size)
        : size_(size), data_(static_cast<std::byte*>(
                           ::operator new(size, std::align_val_t(ship::block_alignment)))) {}
    template <class Fill>
    Payload(std::size_t size, Fill fill) : Payload(size) {
        ship::Writer writer(data_, size_);
        fill(writer);
    }
    Payload(const Payload& other, std::size_t size) : Payload(size) {
        if (size != 0)
            std::memcpy(data_, other.data_, size);
    }
    ~Payload() { ::operator delete(data_, std::align_val_t(ship::block_alignment)); }
    Payload(const Payload&) = delete;
    Payload& operator=(const Payload&) = delete;

    std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }
    ship::Reader reader() const { return {data_, size_}; }
    bool contains(const void* address) const { return address >= data_ && address < data_ + size_; }

private:
    std::size_t size_;
    std::byte* data_;
};

// The values, encoded into exactly the room that their footprint asked for.
template <class... Ts>
Payload packed(const Ts&... values) {
    return Payload(ship::footprint(values...).size,
                   [&](ship::Writer& writer) { ship::encode(writer, values...); });
}

// What arrives of a value. Every byte that was written is read.
template <class T>
T there_and_back(const T& value) {
    static_assert(ship::Shippable<T>);
    const Payload payload = packed(value);
    ship::Reader reader = payload.reader();
    T copy = ship::decode<T>(reader);
    CHECK(reader.remaining() == 0);
    return copy;
}

} // namespace dshm::test
