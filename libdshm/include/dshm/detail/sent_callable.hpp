// A callable that goes to workers many times over: as its bytes while these are few, else stored in
// the segment once and sent as a handle.
//
// For the library.
#pragma once

#include <optional>

#include "dshm/detail/stored_callable.hpp"
#include "dshm/ship/closure.hpp"

namespace dshm::detail {

// A handle is 40 bytes, and looking up what it stands for takes as long as copying some hundred.
template <class F>
inline constexpr bool is_stored_once = sizeof(F) > 256;

template <class F>
class SentCallable {
public:
    // Throws what sending it would.
    explicit SentCallable(const F& f) : f_(&f) {
        if constexpr (is_stored_once<F>)
            stored_.emplace(store_callable(f));
    }

    void write(ship::Writer& writer) const {
        if constexpr (is_stored_once<F>)
            ship::copy_into(writer, *stored_);
        else
            ship::write_closure(writer, *f_);
    }
    static F read(ship::Reader& reader) {
        if constexpr (is_stored_once<F>)
            return *ship::copy_out_of<StoredCallable>(reader).template get<F>();
        else
            return ship::read_closure<F>(reader);
    }

private:
    const F* f_; // the caller's
    std::optional<StoredCallable> stored_;
};

} // namespace dshm::detail
