#include "dshm/parallel.hpp"

#include <functional>
#include <stdexcept>

#include "dshm/errors.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/scheduler.hpp"

namespace dshm::detail {

namespace {

// Until a part of the loop has ended. Not interruptible, because its caller has been interrupted
// already. Parts may lie on this very thread, set aside.
class PartEnded final : public runtime::WaitFor {
public:
    explicit PartEnded(const Future<void>& loop) : loop_(&loop) {}

    bool ready() override { return loop_->news(); }
    void about_to_sleep() override { loop_->announce_waiting(); }
    void for_each_key(const std::function<void(runtime::EventKey)>& f) const override {
        loop_->for_each_key(f);
    }

private:
    const Future<void>* loop_;
};

void wait_for_all_parts(const Future<void>& loop) {
    while (!loop.isready()) {
        PartEnded part(loop);
        runtime::current().scheduler().wait(part);
    }
}

} // namespace

void wait_to_the_end(const Future<void>& loop) {
    try {
        loop.wait();
    } catch (const CompositeException& several) {
        std::rethrow_exception(several.exceptions().front());
    } catch (...) {
        if (!loop.isready()) { // interrupted, or out of memory
            loop.cancel();
            wait_for_all_parts(loop);
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
