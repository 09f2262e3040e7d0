// Keywords: values at the end of a call, in any order, each at most once.
//
//     auto values = dshm::pmap(f, xs, dshm::batch_size(8), dshm::on({2, 3}), dshm::progress("svd"));
//
// A keyword that the called function does not know, or one that is given twice, does not compile.
// Values that make no sense throw std::invalid_argument where the keyword is made.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/processes.hpp"
#include "dshm/retry.hpp"

namespace dshm {

// How the chunks of a loop find their workers.
enum class Schedule {
    static_, // one chunk for each worker, as in Julia
    dynamic, // equal chunks, each for whichever worker is free
    guided,  // the same with chunks that become smaller towards the end
};

// Families of keywords: what a function asks for.
namespace detail::keyword {
struct on;
struct schedule;
struct chunk;
struct init;
struct retries;
struct batch_size;
struct on_error;
struct retry_delays;
struct retry_check;
struct locally;
struct progress;
struct ntasks;
struct named;
struct mode;
struct offset;
} // namespace detail::keyword

struct OnKeyword {
    using keyword = detail::keyword::on;
    std::vector<WorkerId> ids;
};
// Which processes do the work, in this order. The caller may be among them.
inline OnKeyword on(std::vector<WorkerId> ids) {
    if (ids.empty())
        throw std::invalid_argument("dshm: on: the list of workers is empty; leave `on` out for "
                                    "all workers, or write on({1}) for process 1");
    return {std::move(ids)};
}
inline OnKeyword on(std::initializer_list<WorkerId> ids) { return on(std::vector<WorkerId>(ids)); }
inline OnKeyword on(WorkerId id) { return on(std::vector<WorkerId>{id}); }

struct ScheduleKeyword {
    using keyword = detail::keyword::schedule;
    Schedule value;
};
constexpr ScheduleKeyword schedule(Schedule value) { return {value}; }

struct ChunkKeyword {
    using keyword = detail::keyword::chunk;
    std::size_t size;
};
// Elements in a chunk; of a guided loop, in its smallest.
inline ChunkKeyword chunk(std::ptrdiff_t size) {
    if (size < 1)
        throw std::invalid_argument("dshm: chunk: a chunk has at least one element, not " +
                                    std::to_string(size));
    return {static_cast<std::size_t>(size)};
}

template <class V>
struct InitKeyword {
    using keyword = detail::keyword::init;
    V value;
};
// The value of an empty range, and the left operand of the first element. Of a new array: what runs
// on every participant.
template <class V>
InitKeyword<std::decay_t<V>> init(V&& value) {
    return {std::forward<V>(value)};
}

struct RetriesKeyword {
    using keyword = detail::keyword::retries;
    int count;
};
// How often a chunk is run again because its worker died.
inline RetriesKeyword retries(int count) {
    if (count < 0)
        throw std::invalid_argument("dshm: retries: cannot be negative");
    return {count};
}

struct BatchSizeKeyword {
    using keyword = detail::keyword::batch_size;
    std::size_t size; // 0: found by itself
};
inline BatchSizeKeyword batch_size(std::ptrdiff_t size) {
    if (size < 1)
        throw std::invalid_argument("dshm: batch_size: a batch has at least one element, not " +
                                    std::to_string(size) + "; leave it out for automatic batches");
    return {static_cast<std::size_t>(size)};
}

template <class Handler>
struct OnErrorKeyword {
    using keyword = detail::keyword::on_error;
    Handler handler;
};
// handler(const std::exception&) gives the value of an element that failed.
template <class Handler>
OnErrorKeyword<std::decay_t<Handler>> on_error(Handler&& handler) {
    return {std::forward<Handler>(handler)};
}

struct RetryDelaysKeyword {
    using keyword = detail::keyword::retry_delays;
    RetryDelays delays;
};
// How long to wait before the second, third, ... attempt: durations, or an ExponentialBackOff.
inline RetryDelaysKeyword retry_delays(RetryDelays delays) { return {std::move(delays)}; }

template <class Check>
struct RetryCheckKeyword {
    using keyword = detail::keyword::retry_check;
    Check check;
};
// check(const std::exception&) tells whether to try again.
template <class Check>
RetryCheckKeyword<std::decay_t<Check>> retry_check(Check&& check) {
    return {std::forward<Check>(check)};
}

struct LocallyKeyword {
    using keyword = detail::keyword::locally;
};
// In this process, as local tasks.
inline constexpr LocallyKeyword locally{};

struct ProgressKeyword {
    using keyword = detail::keyword::progress;
    std::string text;
};
// A bar on standard error with this text, when that is a terminal.
inline ProgressKeyword progress(std::string text) { return {std::move(text)}; }

struct NtasksKeyword {
    using keyword = detail::keyword::ntasks;
    std::size_t count;
};
// How many local tasks run at the same time.
inline NtasksKeyword ntasks(std::ptrdiff_t count) {
    if (count < 1)
        throw std::invalid_argument("dshm: ntasks: at least one task is needed, not " +
                                    std::to_string(count));
    return {static_cast<std::size_t>(count)};
}

struct NamedKeyword {
    using keyword = detail::keyword::named;
    std::string name;
};
// The name under which other processes, and programs that attach, find it.
inline NamedKeyword named(std::string_view name) {
    if (name.empty())
        throw std::invalid_argument("dshm: named: a name must not be empty");
    return {std::string(name)};
}

struct ModeKeyword {
    using keyword = detail::keyword::mode;
    std::string value;
};
// How a file is opened: "r" to read one that is there; "r+" to write it as well; "w+" to begin it
// anew; "a+" to write one that is there or else begin it.
inline ModeKeyword mode(std::string value) {
    if (value != "r" && value != "r+" && value != "w+" && value != "a+")
        throw std::invalid_argument(
            "dshm: mode: '" + value + "' is none of r, r+, w+ and a+" +
            (value == "w" ? "; a mapped file is read as well: use w+" : ""));
    return {std::move(value)};
}

struct OffsetKeyword {
    using keyword = detail::keyword::offset;
    std::size_t bytes;
};
// Bytes of the file before the first element.
inline OffsetKeyword offset(std::ptrdiff_t bytes) {
    if (bytes < 0)
        throw std::invalid_argument("dshm: offset: an array cannot begin before its file, at " +
                                    std::to_string(bytes));
    return {static_cast<std::size_t>(bytes)};
}

namespace detail {

template <class K>
concept Keyword = requires {
    typename std::decay_t<K>::keyword;
};

template <class Family, class K>
inline constexpr bool is_of = std::is_same_v<Family, typename std::decay_t<K>::keyword>;

template <class Family, class... Ks>
inline constexpr bool has_keyword = (is_of<Family, Ks> || ...);

// The keyword of that family, or else `fallback`.
template <class Family, class Fallback>
const Fallback& keyword_or(const Fallback& fallback) {
    return fallback;
}
template <class Family, class Fallback, class K, class... Ks>
const auto& keyword_or(const Fallback& fallback, const K& first, const Ks&... others) {
    if constexpr (is_of<Family, K>)
        return first;
    else
        return keyword_or<Family>(fallback, others...);
}

// Compiles if each keyword is of one of these families, and no two are of the same.
template <class... Families>
struct Accepts {
    template <class K, class... Ks>
    static constexpr void check() {
        static_assert((is_of<Families, K> || ...),
                      "dshm: this function does not know one of the keywords at the end of the "
                      "call; its header says which ones it takes.");
        static_assert(!has_keyword<typename std::decay_t<K>::keyword, Ks...>,
                      "dshm: a keyword is given twice in one call.");
        check<Ks...>();
    }
    template <class... None>
    requires(sizeof...(None) == 0) static constexpr void check() {}
};

} // namespace detail
} // namespace dshm
