#include "dshm/parallel.hpp"

#include <stdexcept>

#include "dshm/errors.hpp"

namespace dshm::detail {

void wait_to_the_end(const Future<void>& loop) {
    try {
        loop.wait();
    } catch (const CompositeException& several) {
        std::rethrow_exception(several.exceptions().front());
    } catch (...) {
        if (!loop.isready()) { // interrupted, or out of memory
            loop.cancel();
            loop.loop()->wait_regardless();
            loop.loop()->failures(); // not news: they were told to stop
        }
        throw;
    }
}

std::optional<runtime::ObjectHandle> scratch_for(std::size_t bytes) {
    try {
        return runtime::ObjectHandle(
            bytes, {.kind = runtime::object_kind::array, .type_hash = 1, .user = {bytes, 0, 0, 0}});
    } catch (const SharedMemoryExhausted&) {
        return std::nullopt;
    }
}

std::size_t sorting_workers(std::size_t size) {
    return size < least_to_sort ? 1 : static_cast<std::size_t>(nworkers());
}

void throw_no_order() {
    throw std::invalid_argument("dshm: parallel::sort: the comparison is no strict weak order: it "
                                "must be false for equal elements and transitive");
}

} // namespace dshm::detail
