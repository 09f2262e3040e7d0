// What of a map's input is to be run next: elements that are to be tried again when their delay is
// over, pieces that came back, new ones. Private to the map; one thread works on it.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <utility>

#include "dshm/os/clock.hpp"

namespace dshm::detail {

template <class Input>
class MapQueue {
public:
    using Piece = typename Input::Piece;
    using Time = os::Clock::time_point;

    explicit MapQueue(Input& input) : input_(input) {}

    // The next elements, at most so many; an empty piece if there are none now. Throws what the
    // collections throw.
    Piece take(std::size_t most) {
        if (!delayed_.empty() && delayed_.begin()->first <= os::Clock::now())
            return take_delayed();
        return again_.empty() ? input_.take(most) : take_again(most);
    }
    // The same without waiting for delays.
    Piece take_any(std::size_t most) {
        Piece piece = take(most);
        return piece.count == 0 && !delayed_.empty() ? take_delayed() : std::move(piece);
    }

    void again(Piece piece) {
        if (piece.count == 0)
            return;
        again_count_ += piece.count;
        again_.push_front(std::move(piece));
    }
    // Each element alone, so that it alone fails.
    void again_one_by_one(Piece piece) {
        for (std::size_t i = piece.count; i-- > 0;)
            again(Input::part(piece, i, 1));
    }
    void again_after(std::chrono::duration<double> delay, Piece piece) {
        delayed_.emplace(os::deadline_after(delay), std::move(piece));
    }

    // Elements that may be taken, if that is known.
    std::optional<std::size_t> left() const {
        const auto fresh = input_.left();
        return fresh ? std::optional(*fresh + again_count_) : std::nullopt;
    }
    bool has_delayed() const { return !delayed_.empty(); }
    // When the next delay is over.
    Time next_due() const { return delayed_.empty() ? Time::max() : delayed_.begin()->first; }

    // Forgets what came back.
    void clear() {
        again_.clear();
        again_count_ = 0;
        delayed_.clear();
    }

private:
    Piece take_again(std::size_t most) {
        Piece& first = again_.front();
        again_count_ -= std::min(most, first.count);
        if (first.count > most)
            return Input::front(first, most);
        Piece piece = std::move(first);
        again_.pop_front();
        return piece;
    }
    Piece take_delayed() { return std::move(delayed_.extract(delayed_.begin()).mapped()); }

    Input& input_;
    std::deque<Piece> again_;
    std::size_t again_count_ = 0;
    std::multimap<Time, Piece> delayed_;
};

} // namespace dshm::detail
