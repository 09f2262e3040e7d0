// Where the results of a map come together, in order, in whatever order its batches end. Private to
// the map.
//
// Plain results are copied once, from the batch's result in shared memory to their place in the
// vector: it grows by what arrives, and where an earlier batch is still under way its places are
// filled for the time being. Other results are decoded into runs that join the vector when their
// turn has come.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dshm/runtime/map_batch.hpp"

namespace dshm::detail {

// The values of one batch, taken from the front.
template <class R>
class ArrivedValues {
public:
    explicit ArrivedValues(ship::Reader& reader) : reader_(&reader) {}
    R next() { return ship::decode<R>(*reader_); }

private:
    ship::Reader* reader_;
};
template <class R>
requires runtime::is_plain_result<R>
class ArrivedValues<R> {
public:
    explicit ArrivedValues(ship::Reader& reader) : left_(ship::detail::read_run<R>(reader)) {}
    // A damaged count is refused by the spans that are made of it.
    std::span<const R> next(std::size_t count) {
        if (count > left_.size())
            throw DecodeError("dshm: a batch of a map has fewer values than it says");
        const auto run = left_.first(count);
        left_ = left_.subspan(count);
        return run;
    }

private:
    std::span<const R> left_;
};
template <>
class ArrivedValues<void> {
public:
    explicit ArrivedValues(ship::Reader&) {}
};

template <class R>
class MapResults {
public:
    void expect(std::size_t count) { values_.reserve(count); }
    void land(std::size_t first, std::size_t count, ArrivedValues<R>& arrived) {
        Run run;
        run.reserve(count);
        for (std::size_t i = 0; i < count; ++i)
            run.push_back({arrived.next()});
        land(first, std::move(run));
    }
    void land(std::size_t first, R value) {
        Run run;
        run.push_back({std::move(value)});
        land(first, std::move(run));
    }
    std::vector<R> take() { return std::move(values_); }

private:
    struct Slot {
        R value; // a bool of its own, too
    };
    using Run = std::vector<Slot>;

    void land(std::size_t first, Run run) {
        if (first != values_.size()) {
            waiting_.emplace(first, std::move(run));
            return;
        }
        append(run);
        for (auto next = waiting_.begin(); next != waiting_.end() && next->first == values_.size();
             next = waiting_.erase(next))
            append(next->second);
    }
    void append(Run& run) {
        for (Slot& slot : run)
            values_.push_back(std::move(slot.value));
    }

    std::vector<R> values_;
    std::map<std::size_t, Run> waiting_; // by first index
};

template <class R>
requires runtime::is_plain_result<R>
class MapResults<R> {
public:
    void expect(std::size_t count) { values_.reserve(count); }
    void land(std::size_t first, std::size_t count, ArrivedValues<R>& arrived) {
        land(first, arrived.next(count));
    }
    void land(std::size_t first, const R& value) { land(first, std::span(&value, 1)); }
    std::vector<R> take() { return std::move(values_); }

private:
    void land(std::size_t first, std::span<const R> run) {
        if (run.empty())
            return;
        if (first > values_.size())
            values_.resize(first, run.front()); // places of those that come later
        if (first == values_.size()) {
            values_.insert(values_.end(), run.begin(), run.end());
            return;
        }
        for (std::size_t i = 0; i < run.size(); ++i)
            ::new (static_cast<void*>(&values_[first + i])) R(run[i]);
    }

    std::vector<R> values_;
};

template <>
class MapResults<void> {
public:
    void expect(std::size_t) {}
    void land(std::size_t, std::size_t, ArrivedValues<void>&) {}
    void land(std::size_t) {}
    void take() {}
};

} // namespace dshm::detail
