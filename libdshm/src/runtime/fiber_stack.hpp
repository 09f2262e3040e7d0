// One stack that a thread may run on: its own, or one that was mapped for waits set aside.
//
// Boost.Context switches the registers; what a thread keeps besides goes with the stack here: the
// scheduler's and the scopes' thread-local state, and the exceptions that are being handled (the
// C++ runtime's two words for each thread). The sanitizers are told.
#pragma once

#include <boost/context/fiber.hpp>
#include <cstddef>
#include <functional>
#include <optional>

#include "dshm/os/stack.hpp"
#include "dshm/runtime/random_stream.hpp"
#include "dshm/runtime/sync_scope.hpp"
#include "dshm/ship/shipping.hpp"
#include "dshm/ship/throw_recorder.hpp"
#include "thread_state.hpp"

namespace dshm::runtime {

class FiberStack {
public:
    // The stack that the thread is on.
    FiberStack();
    // One of its own, on which `body` is called when it is switched to for the first time. It must
    // not return.
    FiberStack(os::GuardedStack memory, std::function<void()> body);
    // What lies on it is abandoned: no destructor runs.
    ~FiberStack();
    FiberStack(const FiberStack&) = delete;
    FiberStack& operator=(const FiberStack&) = delete;

    // Goes on with `other`, which nobody is on. Returns when somebody switches back to this one.
    void switch_to(FiberStack& other);

    const StackState& state() const { return saved_.stack; }

private:
    // abi::__cxa_get_globals(): exceptions caught, and the number of those on their way.
    struct ExceptionsInHand {
        void* caught = nullptr;
        unsigned int uncaught = 0;
    };
    struct Saved {
        StackState stack;
        SyncScope* sync = nullptr;
        RandomStream* random = nullptr;
        ship::ShippingScope* shipping = nullptr;
        ship::ThrowRecorder::Scope* recorder = nullptr;
        ExceptionsInHand exceptions;
    };

    void save();
    void restore() const;
    void leaving(const FiberStack& other);
    void arrived();

    std::optional<os::GuardedStack> memory_;
    std::function<void()> body_;
    boost::context::fiber context_;
    Saved saved_;
    const void* lowest_ = nullptr; // for the address sanitizer
    std::size_t size_ = 0;
    void* fake_stack_ = nullptr;
    void* thread_sanitizer_fiber_ = nullptr;
};

} // namespace dshm::runtime
