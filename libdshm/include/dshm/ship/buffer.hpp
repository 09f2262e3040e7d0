// Payloads: the bytes of arguments, closures and results, and bounded cursors over them.
//
// A payload is one contiguous range of bytes whose base is aligned to 8 (inline in a task record)
// or 64 (a heap block). Every value in it is aligned relative to the base, to min(alignof, 64), so
// a payload means the same wherever it lies and a reader may look at the values in place. The
// position of a value depends on the values before it and on nothing else: sizing, writing and
// reading the same sequence visit the same positions.
//
// A Writer never writes past its capacity and a Reader never reads past its size: both throw
// instead. Neither owns the bytes. If the caller dies half-way, the payload was not published yet
// and is dropped with its block.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>
#include <string>

#include "dshm/base/bits.hpp"
#include "dshm/ship/exceptions.hpp"

namespace dshm::ship {

class HandleList;

inline constexpr std::size_t inline_alignment = 8;
inline constexpr std::size_t block_alignment = 64;

// What a payload needs: bytes, and alignment of its base (never below 8, never above 64).
struct Footprint {
    std::size_t size = 0;
    std::size_t alignment = inline_alignment;

    friend bool operator==(const Footprint&, const Footprint&) = default;
};

namespace detail {
[[noreturn]] void throw_writer_full(std::size_t asked, std::size_t left);
[[noreturn]] void throw_reader_short(std::size_t asked, std::size_t left);
[[noreturn]] void throw_count_too_large(std::size_t count, std::size_t left);
[[noreturn]] void throw_damaged(const std::string& what);
} // namespace detail

// Puts values one after another; or, without memory of its own (see Sizer), only counts where they
// would go.
class Writer {
public:
    Writer(std::byte* begin, std::size_t capacity) noexcept : begin_(begin), capacity_(capacity) {}
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;

    // Room for `size` bytes; null while counting.
    std::byte* reserve(std::size_t size, std::size_t alignment) {
        const std::size_t bounded = std::min(alignment, block_alignment);
        const std::size_t start = base::round_up(written_, bounded);
        if (start > capacity_ || size > capacity_ - start) [[unlikely]]
            detail::throw_writer_full(size, capacity_ - std::min(start, capacity_));
        written_ = start + size;
        alignment_ = std::max(alignment_, bounded);
        return begin_ == nullptr ? nullptr : begin_ + start;
    }

    void copy(const void* source, std::size_t size, std::size_t alignment) {
        std::byte* target = reserve(size, alignment);
        if (target != nullptr && size != 0)
            std::memcpy(target, source, size);
    }

    bool counting() const noexcept { return begin_ == nullptr; }
    std::size_t written() const noexcept { return written_; }
    Footprint footprint() const noexcept { return {written_, alignment_}; }

    // Where the handles found in the values are listed (shipping.hpp); without a list they are
    // copied and not listed.
    void list_handles(HandleList* handles) noexcept { handles_ = handles; }
    HandleList* handles() const noexcept { return handles_; }

protected:
    Writer() noexcept : begin_(nullptr), capacity_(std::numeric_limits<std::size_t>::max() / 2) {}

private:
    std::byte* begin_;
    std::size_t capacity_;
    std::size_t written_ = 0;
    std::size_t alignment_ = inline_alignment;
    HandleList* handles_ = nullptr;
};

// A Writer without memory: the first of the two passes, which finds the size of the block to ask
// for.
class Sizer : public Writer {
public:
    Sizer() noexcept = default;
};

// Takes values in the order in which they were put. What it hands out lies in the payload and lives
// as long as that.
class Reader {
public:
    Reader(const std::byte* begin, std::size_t size) noexcept : begin_(begin), size_(size) {}
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

    const std::byte* take(std::size_t size, std::size_t alignment) {
        const std::size_t start = base::round_up(position_, std::min(alignment, block_alignment));
        if (start > size_ || size > size_ - start) [[unlikely]]
            detail::throw_reader_short(size, size_ - std::min(start, size_));
        position_ = start + size;
        return begin_ + start;
    }

    void copy(void* target, std::size_t size, std::size_t alignment) {
        const std::byte* source = take(size, alignment);
        if (size != 0)
            std::memcpy(target, source, size);
    }

    // A count of elements that take at least `least` bytes each, refused before anything is
    // allocated for it.
    std::size_t take_count(std::size_t least) {
        std::size_t count;
        copy(&count, sizeof count, alignof(std::size_t));
        if (count > remaining() / least) [[unlikely]]
            detail::throw_count_too_large(count, remaining());
        return count;
    }

    std::size_t position() const noexcept { return position_; }
    std::size_t remaining() const noexcept { return size_ - position_; }

private:
    const std::byte* begin_;
    std::size_t size_;
    std::size_t position_ = 0;
};

} // namespace dshm::ship
