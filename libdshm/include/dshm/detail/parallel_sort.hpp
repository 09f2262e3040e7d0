// The parallel sort: what each worker does, and the order of it.
//
//   1  the elements are cut into a run for each worker; each copies its run into a scratch array and
//      sorts it there. The elements themselves are as they were.
//   2  the result is cut into a part for each worker; each finds where its part lies in all runs and
//      merges them into its place. The scratch array has all elements once.
//
// Whatever fails in 1 leaves the elements alone; after a failure in 2 they are copied back from the
// scratch array. For the library: parallel.hpp is the way in.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "dshm/detail/shared_place.hpp"
#include "dshm/distributed.hpp"

namespace dshm::detail {

// Waits until nobody works on the loop any more, also when this process is interrupted; then throws
// what the first part that failed threw.
void wait_to_the_end(const Future<void>& loop);

template <class Body, class... Ks>
void run_loop(std::ptrdiff_t size, const Body& body, const Ks&... keywords) {
    const runtime::SyncScope::Hidden hidden;
    wait_to_the_end(distributed(range(0, size), body, keywords...));
}

// Below this, this process sorts alone: two workers took as long as one process for 20,000 random
// doubles (1.2 ms; 15 % longer for 10,000), and half for 40,000 (1.3 ms against 2.5).
inline constexpr std::size_t least_to_sort = 32'768;

// A scratch array of the same size; nothing where there is no room for it.
std::optional<runtime::ObjectHandle> scratch_for(std::size_t bytes);
// How many workers share the sort; 1 means that it is not worth it.
std::size_t sorting_workers(std::size_t size);
[[noreturn]] void throw_no_order();

template <class T, class Less>
struct SortRun {
    using shipped_by_parts = ship::Parts<PlaceInSegment, PlaceInSegment, Less, SliceShape>;
    PlaceInSegment elements, scratch;
    Less less;
    SliceShape runs;

    void visit_parts(auto&& visit) const { visit(elements, scratch, less, runs); }
    void operator()(std::ptrdiff_t run) {
        const auto index = static_cast<std::size_t>(run);
        const std::size_t first = runs.first(index), last = runs.first(index + 1);
        const T* from = reinterpret_cast<const T*>(elements.address());
        T* to = reinterpret_cast<T*>(scratch.address());
        std::copy(from + first, from + last, to + first);
        std::sort(to + first, to + last, less);
    }
};

// Where the first `rank` elements of the whole end in each of the sorted runs. Ties go by the run, so
// neighbours find the same. Halves the largest window until none is left:
// O(runs² log² n) at worst, and mostly O(runs log² n).
template <class T, class Less>
std::vector<std::size_t> cuts_at(std::size_t rank, const T* x, const SliceShape& runs, Less& less) {
    std::vector<std::size_t> low(runs.slices), high(runs.slices), place(runs.slices);
    for (std::size_t r = 0; r < runs.slices; ++r) {
        low[r] = runs.first(r);
        high[r] = runs.first(r + 1);
    }
    for (;;) {
        std::size_t widest = 0, before = 0;
        for (std::size_t r = 1; r < runs.slices; ++r)
            if (high[r] - low[r] > high[widest] - low[widest])
                widest = r;
        if (high[widest] == low[widest])
            return low;
        const std::size_t middle = low[widest] + (high[widest] - low[widest]) / 2;
        for (std::size_t r = 0; r < runs.slices; ++r) {
            const T* first = x + low[r];
            const T* last = x + high[r];
            place[r] = r == widest
                           ? middle
                           : static_cast<std::size_t>(
                                 (r < widest ? std::upper_bound(first, last, x[middle], less)
                                             : std::lower_bound(first, last, x[middle], less)) -
                                 x);
            before += place[r] - runs.first(r);
        }
        if (before < rank) { // the element in the middle is one of the first
            low = place;
            ++low[widest];
        } else {
            high = place;
        }
    }
}

template <class T>
struct Run {
    const T* next;
    const T* end;
};

// Merges sorted runs, none of them empty, by a heap of their first elements.
template <class T, class Less>
void merge_runs(std::vector<Run<T>>& runs, T* out, Less& less) {
    const auto later = [&less](const Run<T>& a, const Run<T>& b) { return less(*b.next, *a.next); };
    std::make_heap(runs.begin(), runs.end(), later);
    while (runs.size() > 2) {
        std::pop_heap(runs.begin(), runs.end(), later);
        *out++ = *runs.back().next++;
        if (runs.back().next == runs.back().end)
            runs.pop_back();
        else
            std::push_heap(runs.begin(), runs.end(), later);
    }
    if (runs.size() == 2) {
        Run<T> a = runs[0], b = runs[1];
        while (a.next != a.end && b.next != b.end) { // without branches on random elements
            const bool second = less(*b.next, *a.next);
            *out++ = second ? *b.next : *a.next;
            b.next += second;
            a.next += !second;
        }
        out = std::copy(a.next, a.end, out);
        runs[0] = b;
    }
    if (!runs.empty())
        std::copy(runs[0].next, runs[0].end, out);
}

template <class T, class Less>
struct MergePart {
    using shipped_by_parts = ship::Parts<PlaceInSegment, PlaceInSegment, Less, SliceShape>;
    PlaceInSegment elements, scratch;
    Less less;
    SliceShape runs; // and parts of the result

    void visit_parts(auto&& visit) const { visit(elements, scratch, less, runs); }
    void operator()(std::ptrdiff_t part) {
        const auto index = static_cast<std::size_t>(part);
        const T* x = reinterpret_cast<const T*>(scratch.address());
        const auto begin = cuts_at(runs.first(index), x, runs, less);
        const auto end = cuts_at(runs.first(index + 1), x, runs, less);
        std::vector<Run<T>> pieces;
        std::size_t place = 0;
        for (std::size_t r = 0; r < runs.slices; ++r) {
            if (end[r] < begin[r])
                throw_no_order();
            place += begin[r] - runs.first(r);
            if (end[r] != begin[r])
                pieces.push_back({x + begin[r], x + end[r]});
        }
        merge_runs(pieces, reinterpret_cast<T*>(elements.address()) + place, less);
    }
};

// False, with nothing done, where this process is to sort alone.
template <class T, class Less>
bool sort_on_workers(const PlaceInSegment& elements, std::size_t size, const Less& less) {
    const SliceShape runs{size, sorting_workers(size)};
    const auto memory = runs.slices > 1 ? scratch_for(size * sizeof(T)) : std::nullopt;
    if (!memory)
        return false;
    const PlaceInSegment scratch(memory->address(), size * sizeof(T), "parallel::sort");
    const auto count = static_cast<std::ptrdiff_t>(runs.slices);
    run_loop(count, SortRun<T, Less>{elements, scratch, less, runs});
    try {
        run_loop(count, MergePart<T, Less>{elements, scratch, less, runs});
    } catch (...) {
        std::memcpy(elements.address(), scratch.address(), size * sizeof(T));
        throw;
    }
    return true;
}

} // namespace dshm::detail
