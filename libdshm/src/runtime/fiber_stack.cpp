#include "fiber_stack.hpp"

#include <cxxabi.h>
#include <pthread.h>

#include <cstring>
#include <utility>
#include <vector>

#include "dshm/base/check.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define DSHM_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define DSHM_ADDRESS_SANITIZER 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define DSHM_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DSHM_THREAD_SANITIZER 1
#endif
#endif

#if defined(DSHM_ADDRESS_SANITIZER)
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(DSHM_THREAD_SANITIZER)
#include <sanitizer/tsan_interface.h>
#endif

namespace dshm::runtime {

namespace {

// The memory belongs to the FiberStack.
struct NotFreed {
    void deallocate(boost::context::stack_context&) noexcept {}
};

// Destroying a context that was never finished would unwind what lies on it: user code that waits,
// and must not go on. Kept for ever instead, reachable, a pointer each.
void abandon(boost::context::fiber context) {
    static auto* const abandoned = new std::vector<boost::context::fiber>;
    abandoned->push_back(std::move(context));
}

} // namespace

FiberStack::FiberStack() {
#if defined(DSHM_THREAD_SANITIZER)
    thread_sanitizer_fiber_ = __tsan_get_current_fiber();
#endif
#if defined(DSHM_ADDRESS_SANITIZER) // reads /proc/self/maps: too much for each worker's start
    pthread_attr_t attributes;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    void* lowest = nullptr;
    pthread_attr_getstack(&attributes, &lowest, &size_);
    lowest_ = lowest;
    pthread_attr_destroy(&attributes);
#endif
}

FiberStack::FiberStack(os::GuardedStack memory, std::function<void()> body)
    : memory_(std::move(memory)), body_(std::move(body)), lowest_(memory_->lowest()),
      size_(memory_->size()) {
    boost::context::stack_context described;
    described.sp = memory_->lowest() + memory_->size();
    described.size = memory_->size();
    const boost::context::preallocated place(described.sp, described.size, described);
    context_ = boost::context::fiber(std::allocator_arg, place, NotFreed{},
                                     [this](boost::context::fiber&& nobody) {
                                         arrived();
                                         body_();
                                         DSHM_CHECK(false, "the loop of a stack has ended");
                                         return std::move(nobody);
                                     });
#if defined(DSHM_THREAD_SANITIZER)
    thread_sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
}

FiberStack::~FiberStack() {
    if (context_)
        abandon(std::move(context_));
#if defined(DSHM_THREAD_SANITIZER)
    if (memory_)
        __tsan_destroy_fiber(thread_sanitizer_fiber_);
#endif
}

void FiberStack::save() {
    saved_.stack = thread_state.stack;
    saved_.sync = SyncScope::exchange(nullptr);
    saved_.random = RandomStream::exchange(nullptr);
    saved_.shipping = ship::ShippingScope::exchange(nullptr);
    saved_.recorder = ship::ThrowRecorder::exchange(nullptr);
    std::memcpy(static_cast<void*>(&saved_.exceptions), abi::__cxa_get_globals(),
                sizeof saved_.exceptions);
}

void FiberStack::restore() const {
    thread_state.stack = saved_.stack;
    SyncScope::exchange(saved_.sync);
    RandomStream::exchange(saved_.random);
    ship::ShippingScope::exchange(saved_.shipping);
    ship::ThrowRecorder::exchange(saved_.recorder);
    std::memcpy(static_cast<void*>(abi::__cxa_get_globals()), &saved_.exceptions,
                sizeof saved_.exceptions);
}

void FiberStack::leaving([[maybe_unused]] const FiberStack& other) {
#if defined(DSHM_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(&fake_stack_, other.lowest_, other.size_);
#endif
#if defined(DSHM_THREAD_SANITIZER)
    __tsan_switch_to_fiber(other.thread_sanitizer_fiber_, 0);
#endif
}

// The first thing on a stack that was switched to, fresh or not.
void FiberStack::arrived() {
#if defined(DSHM_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
    restore();
}

void FiberStack::switch_to(FiberStack& other) {
    save();
    leaving(other);
    std::move(other.context_).resume_with([this](boost::context::fiber&& here) {
        context_ = std::move(here);
        return boost::context::fiber();
    });
    arrived();
}

} // namespace dshm::runtime
