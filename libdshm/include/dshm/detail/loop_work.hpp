// What a loop does with a part of its range, as it is sent to workers.
//
// For the library: distributed.hpp is the way in.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "dshm/detail/loop_range.hpp"
#include "dshm/runtime/loop_chunks.hpp"
#include "dshm/runtime/task_stream.hpp"
#include "dshm/ship/closure.hpp"

namespace dshm::detail {

// ---- one part -----------------------------------------------------------------------------------

// Cuts a part into pieces that somebody who watches is told of; into one if nobody does.
class Pieces {
public:
    Pieces() = default;
    explicit Pieces(const runtime::LoopHead& head)
        : done_(head.watched != 0 ? const_cast<shm::Word64*>(&head.elements_done) : nullptr) {}

    // f(from, piece) for each of the elements [from, ...) of the part.
    template <class Part, class F>
    void of(const Part& part, std::size_t from, F&& f) const {
        if (done_ == nullptr)
            return f(from, part_of(part, from, part.size()));
        const std::size_t size = part.size() - from;
        const std::size_t count = std::clamp<std::size_t>(size, 1, most);
        for (std::size_t i = 0; i < count; ++i) {
            const std::size_t begin = from + runtime::even_start(size, count, i);
            const std::size_t end = from + runtime::even_start(size, count, i + 1);
            f(begin, part_of(part, begin, end));
            add(end - begin);
        }
    }
    void add(std::size_t elements) const {
        if (done_ != nullptr)
            done_->fetch_add(elements, std::memory_order_relaxed); // relaxed: for the eye
    }

private:
    static constexpr std::size_t most = 200; // 1 % of a part of two workers

    shm::Word64* done_ = nullptr;
};

// Runs the body for each element of a part; its random numbers are those of the element's place in
// the loop, whoever runs it.
template <class Body, class Part>
struct RunPart {
    using shipped_by_parts = ship::Parts<Body>;
    using Result = void;
    Body body;

    void visit_parts(auto&& visit) const { visit(body); }

    void operator()(std::uint64_t stream, std::size_t first, const ArrivedPart<Part>& part) {
        run(stream, first, part);
    }
    void run(std::uint64_t stream, std::size_t first, const auto& part, const Pieces& pieces = {}) {
        runtime::IterationStream random(stream);
        pieces.of(part, 0, [&](std::size_t from, const auto& piece) {
            each(piece, first + from, [&](std::size_t position, auto&&... element) {
                random.at(position);
                static_cast<void>(body(element...));
            });
        });
    }
};

// The same, and reduces what the body gives from left to right. A part has at least one element.
template <class Op, class Body, class R, class Part>
struct ReducePart {
    using shipped_by_parts = ship::Parts<Op, Body>;
    using Result = R;
    Op op;
    Body body;

    void visit_parts(auto&& visit) const { visit(op, body); }

    R operator()(std::uint64_t stream, std::size_t first, const ArrivedPart<Part>& part) {
        return run(stream, first, part);
    }
    R run(std::uint64_t stream, std::size_t first, const auto& part, const Pieces& pieces = {}) {
        runtime::IterationStream random(stream);
        random.at(first);
        std::optional<R> head;
        each(part_of(part, 0, 1), first,
             [&](std::size_t, auto&&... element) { head.emplace(R(body(element...))); });
        R total = std::move(*head);
        pieces.add(1);
        pieces.of(part, 1, [&](std::size_t from, const auto& piece) {
            each(piece, first + from, [&](std::size_t position, auto&&... element) {
                random.at(position);
                total = op(std::move(total), body(element...));
            });
        });
        return total;
    }
};

// A part of what is in this process already, as a body takes it.
template <class Part>
const Part& here(const Part& part) {
    return part;
}
template <class Iterator>
auto here(const ship::Slice<Iterator>& slice) {
    using Vector = ship::WireType<ship::Slice<Iterator>>;
    if constexpr (std::is_same_v<typename Vector::value_type, std::iter_value_t<Iterator>>)
        return slice;
    else
        return Vector(slice.begin(), slice.end());
}

} // namespace dshm::detail
