// Runs a callable at the end of a scope unless it was dismissed.
#pragma once

#include <utility>

namespace dshm::base {

template <class F>
class [[nodiscard]] ScopeGuard {
public:
    explicit ScopeGuard(F action) : action_(std::move(action)) {}
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;
    ~ScopeGuard() {
        if (armed_)
            action_();
    }
    void dismiss() noexcept { armed_ = false; }

private:
    F action_;
    bool armed_ = true;
};

} // namespace dshm::base
