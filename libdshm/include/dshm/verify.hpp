// DSHM_VERIFY=1, or `dshm-run --verify`: every loop and map is also run serially, in the caller, and
// the two outcomes are compared.
//
// Values, and the SharedArrays that the closures hold, must be the same bit by bit, or, with
// DSHM_VERIFY_TOLERANCE=1e-12 (`--verify=1e-12`), up to a relative difference of floating-point
// numbers: sums of these depend on how the range is split. The first difference is thrown as a
// VerificationFailed. The outcome with workers stays in place. A loop or map that throws is not
// verified, nor one that runs chunks or elements again; other side effects of a body happen twice.
//
// For distributed and pmap (both already waiting for the end, and drawing from the same stream):
//
//     if (detail::verifying()) [[unlikely]] {
//         detail::ArraySnapshot arrays;
//         arrays.add_closure(work);              // whatever is sent: body, operator, function
//         arrays.add(parts);                     // optional: values that may hold SharedArrays
//         return detail::verified("distributed", arrays, [&] { return run_on_workers(); },
//                                 [&] { return run_here(); });
//     }
//
// Costs the serial run, and memory for two copies of the arrays. A process that dies meanwhile takes
// nothing along but itself; if the caller dies, the session ends anyway.
#pragma once

#include <cstddef>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/base/scope_guard.hpp"
#include "dshm/detail/array_elements.hpp"
#include "dshm/detail/verify_compare.hpp"
#include "dshm/errors.hpp"
#include "dshm/ship/closure.hpp"
#include "dshm/ship/shipping.hpp"

namespace dshm {

// A loop or map gave something else with workers than serially.
class VerificationFailed : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

namespace detail {

// Whether DSHM_VERIFY asks for it, read once a session. Throws std::invalid_argument when the
// variables make no sense.
bool verifying();
// DSHM_VERIFY_TOLERANCE, 0 without.
double verify_tolerance();

// "dshm: verify: the value of distributed is 3 with workers and 4 serially"; `subject` is what is
// compared, such as "the value of distributed" or "element 17 of pmap".
[[noreturn]] void throw_difference(const std::string& subject, const Difference& difference);
[[noreturn]] void throw_serial_failure(std::string_view what, const std::exception& error);

// Throws VerificationFailed if they differ. O(size).
template <class T>
void verify_value(std::string_view what, const T& with_workers, const T& serially) {
    if (const auto found = first_difference(with_workers, serially, verify_tolerance()))
        throw_difference("the value of " + std::string(what), *found);
}
// The same for the results of a map, element by element.
template <class T>
void verify_elements(std::string_view what, const std::vector<T>& with_workers,
                     const std::vector<T>& serially) {
    auto found = first_difference(with_workers, serially, verify_tolerance());
    if (!found)
        return;
    std::string subject = "the result of " + std::string(what);
    if (found->where.starts_with('[')) { // "[17]", then perhaps more
        const std::size_t end = found->where.find(']');
        subject = "element " + found->where.substr(1, end - 1) + " of " + std::string(what);
        found->where.erase(0, end + 1);
    }
    throw_difference(subject, *found);
}

// Whichever of them fits.
template <class T>
void compare_results(std::string_view what, const T& with_workers, const T& serially) {
    verify_value(what, with_workers, serially);
}
template <class T>
void compare_results(std::string_view what, const std::vector<T>& with_workers,
                     const std::vector<T>& serially) {
    verify_elements(what, with_workers, serially);
}

// The SharedArrays that a loop's closures hold, as they were at some time.
class ArraySnapshot {
public:
    // Those that a callable captures. Throws as sending it would.
    template <class F>
    void add_closure(const F& function) {
        add_written([&](ship::Writer& writer) { ship::write_closure(writer, function); });
    }
    // Those in a value that could be sent. O(its size).
    template <class T>
    void add(const T& value) {
        add_written([&](ship::Writer& writer) { ship::encode(writer, value); });
    }

    // Copies what is in the arrays now, in place of what was copied before. Throws std::bad_alloc.
    void take();
    // Puts that back.
    void restore() const;
    // Throws VerificationFailed if the arrays, which a serial run has left, are not as they are here
    // after the run with workers.
    void compare(std::string_view what) const;

    std::size_t count() const noexcept { return arrays_.size(); }

private:
    struct Array {
        std::byte* data;
        std::size_t size;
        std::string description;
        Elements elements;
        std::vector<std::byte> copy;
    };

    template <class Write>
    void add_written(Write&& write) {
        ship::Sizer sizer;
        write(sizer);
        std::vector<std::byte> room(sizer.written() + ship::block_alignment);
        void* begin = room.data();
        std::size_t space = room.size();
        std::align(ship::block_alignment, sizer.written(), begin, space);
        ship::Writer writer(static_cast<std::byte*>(begin), sizer.written());
        ship::HandleList handles;
        writer.list_handles(&handles);
        write(writer);
        add_handles(handles);
    }
    void add_handles(const ship::HandleList& handles);

    std::vector<Array> arrays_;
};

struct Always {
    bool operator()() const { return true; }
};

// The value of `with_workers()`, after `serially()` has given the same and left the same in the
// arrays. Not compared if `applies()`, asked in between, says no.
template <class WithWorkers, class Serially, class Applies = Always>
auto verified(std::string_view what, ArraySnapshot& before, WithWorkers&& with_workers,
              Serially&& serially, Applies&& applies = {}) {
    using R = std::invoke_result_t<WithWorkers&>;
    const auto compared = [&](const auto& compare_value) {
        ArraySnapshot after = before;
        after.take();
        const base::ScopeGuard in_place([&] { after.restore(); });
        before.restore();
        try {
            compare_value();
        } catch (const VerificationFailed&) {
            throw;
        } catch (const InterruptException&) {
            throw;
        } catch (const std::exception& error) {
            throw_serial_failure(what, error);
        }
        after.compare(what);
    };
    before.take();
    if constexpr (std::is_void_v<R>) {
        with_workers();
        if (applies())
            compared(serially);
    } else {
        R value = with_workers();
        if (applies())
            compared([&] { compare_results(what, value, R(serially())); });
        return value;
    }
}

} // namespace detail
} // namespace dshm
