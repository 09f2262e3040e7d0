// Pieces of a map's input: some neighbouring elements of all its collections at once.
//
// Zip<columns...> hands out pieces in order; a piece can be cut, written into a batch, or read here.
// Private to the map.
#pragma once

#include <algorithm>

#include "dshm/detail/map_call.hpp"
#include "dshm/detail/map_collections.hpp"

namespace dshm::detail {

template <class... Columns>
class Zip {
    using Indices = std::index_sequence_for<Columns...>;
    static constexpr bool indexed = (Columns::is_indexed && ...);
    static constexpr bool all_in_place = (Columns::Cursor::in_place && ...);
    // A batch has at most so many bytes, but one element at least.
    static constexpr std::size_t largest_batch = std::size_t{1} << 20;

public:
    // The collections can be gone through again.
    static constexpr bool repeatable = (Columns::is_repeatable && ...);

    struct Piece {
        std::size_t first = 0;
        std::size_t count = 0;
        std::size_t attempt = 0; // how often its only element has failed
        unsigned deaths = 0;     // of workers that ran it
        std::tuple<typename Columns::Held...> held{};
    };

    template <class F>
    using CallOf = MapCall<F, typename Columns::Cursor...>;
    template <class F>
    static std::uint64_t function_of() {
        return function_of_map<F, typename Columns::Cursor...>();
    }

    template <class... Cs>
    explicit Zip(Cs&... collections) : columns_(column_of(collections)...) {}

    // How many elements there are, if that is known before.
    std::optional<std::size_t> size() const {
        std::optional<std::size_t> least = unbounded;
        each([&](const auto& column) {
            const auto size = column.size();
            least = least && size ? std::optional(std::min(*least, *size)) : std::nullopt;
        });
        return least;
    }
    std::optional<std::size_t> left() const {
        const auto all = size();
        return all ? std::optional(*all - std::min(next_, *all)) : std::nullopt;
    }

    // The next elements, at most so many, and at most a MiB of them; none when all have been taken.
    Piece take(std::size_t most) {
        Piece piece{.first = next_};
        if constexpr (indexed && all_in_place) {
            constexpr std::size_t bytes = (Columns::bytes_each + ... + 0);
            most = std::min(
                most, std::max<std::size_t>(1, largest_batch / std::max<std::size_t>(bytes, 1)));
            piece.count = std::min(most, *left());
        } else {
            pull(piece, most);
        }
        next_ += piece.count;
        return piece;
    }

    // Cuts elements [first, first + count) out of a piece; what is left of it there is not used
    // again.
    static Piece part(Piece& piece, std::size_t first, std::size_t count) {
        return on(Indices(), [&](auto... i) {
            return Piece{piece.first + first,
                         count,
                         piece.attempt,
                         piece.deaths,
                         {Columns::part(std::get<i>(piece.held), first, count)...}};
        });
    }
    // Cuts off its first elements.
    static Piece front(Piece& piece, std::size_t count) {
        Piece cut = part(piece, 0, count);
        piece = part(piece, count, piece.count - count);
        return cut;
    }

    void write(ship::Writer& writer, const Piece& piece) const {
        each([&](const auto& column) {
            if constexpr (std::decay_t<decltype(column)>::Cursor::in_place)
                column.write_run(writer, piece.first, piece.count);
        });
        if constexpr (!all_in_place)
            for (std::size_t i = 0; i < piece.count; ++i)
                write_one(writer, piece, i);
    }

    // f of a piece with one element, here: of what lies in the collections, or of values of its own.
    template <class F>
    static constexpr bool takes_elements = requires(F& f) {
        std::invoke(f, std::declval<const Columns&>().local(std::declval<typename Columns::Held&>(),
                                                            0, 0)...);
    };
    template <class F>
    static constexpr bool takes_values = requires(F& f) {
        std::invoke(f, std::declval<const Columns&>().value(std::declval<typename Columns::Held&>(),
                                                            0, 0)...);
    };
    template <class F>
    decltype(auto) apply_elements(F& f, Piece& piece) const {
        return on(Indices(), [&](auto... i) -> decltype(auto) {
            return std::invoke(
                f, std::get<i>(columns_).local(std::get<i>(piece.held), piece.first, 0)...);
        });
    }
    template <class F>
    decltype(auto) apply_values(F& f, Piece& piece) const {
        return on(Indices(), [&](auto... i) -> decltype(auto) {
            return std::invoke(
                f, std::get<i>(columns_).value(std::get<i>(piece.held), piece.first, 0)...);
        });
    }

private:
    template <std::size_t... I, class Use>
    static decltype(auto) on(std::index_sequence<I...>, Use&& use) {
        return use(std::integral_constant<std::size_t, I>()...);
    }
    template <class Use>
    void each(Use&& use) const {
        std::apply([&](const auto&... columns) { (use(columns), ...); }, columns_);
    }

    void pull(Piece& piece, std::size_t most) {
        ship::Sizer bytes;
        while (piece.count < most && bytes.written() < largest_batch && has(next_ + piece.count)) {
            on(Indices(),
               [&](auto... i) { (std::get<i>(columns_).pull(std::get<i>(piece.held)), ...); });
            ++piece.count;
            if (piece.count < most && !can_count(bytes, piece))
                break;
        }
    }
    // False for an element that cannot be encoded: whoever sends the piece will see why.
    bool can_count(ship::Writer& bytes, const Piece& piece) const {
        try {
            write_one(bytes, piece, piece.count - 1);
            return true;
        } catch (...) {
            return false;
        }
    }
    bool has(std::size_t index) {
        return std::apply([&](auto&... columns) { return (columns.has(index) && ...); }, columns_);
    }
    // The encoded columns of element i of the piece; of the others, their bytes.
    void write_one(ship::Writer& writer, const Piece& piece, std::size_t i) const {
        on(Indices(),
           [&](auto... j) { (write_element<j>(writer, std::get<j>(columns_), piece, i), ...); });
    }
    template <std::size_t J, class Column>
    static void write_element(ship::Writer& writer, const Column& column, const Piece& piece,
                              std::size_t i) {
        if constexpr (!Column::Cursor::in_place)
            column.write_one(writer, std::get<J>(piece.held), piece.first + i, i);
        else if (writer.counting())
            writer.reserve(0, 1);
    }

    std::tuple<Columns...> columns_;
    std::size_t next_ = 0;
};

// What f gives for a piece with one element where that has been sent: decoded out of a batch of its
// own.
template <class F, class Input>
auto apply_encoded(F& f, const Input& input, const typename Input::Piece& piece) {
    using Call = typename Input::template CallOf<F>;
    require_possible_map<Call>();
    if constexpr (!Call::possible) {
        return; // one sentence is enough
    } else {
        ship::Sizer sizer;
        input.write(sizer, piece);
        struct alignas(ship::block_alignment) Line {
            std::byte bytes[ship::block_alignment];
        };
        const std::size_t size = sizer.footprint().size;
        std::vector<Line> room(size / sizeof(Line) + 1);
        ship::Writer writer(room.front().bytes, size);
        input.write(writer, piece);
        ship::Reader reader(room.front().bytes, size);
        auto cursors = Call::open(reader);
        auto element = Call::read(cursors, reader, 0);
        if constexpr (std::is_void_v<typename Call::Result>)
            std::apply(f, std::move(element));
        else
            return static_cast<typename Call::Result>(std::apply(f, std::move(element)));
    }
}

} // namespace dshm::detail
