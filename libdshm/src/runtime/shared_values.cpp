#include "dshm/runtime/shared_values.hpp"

#include <utility>
#include <vector>

namespace dshm::runtime {

std::shared_ptr<const void>
SharedValues::find(shm::ObjectTable::Ref object,
                   const std::function<std::shared_ptr<const void>()>& decode) {
    {
        const std::lock_guard guard(lock_);
        if (const auto known = values_.find(key(object)); known != values_.end())
            return known->second;
    }
    forget_dead();
    std::shared_ptr<const void> value = decode();
    const std::lock_guard guard(lock_);
    const auto& entry = *values_.emplace(key(object), std::move(value)).first;
    count_.store(values_.size(), std::memory_order_relaxed); // relaxed: a hint
    return entry.second;
}

// Destructors of values run outside the lock: they may be anybody's.
void SharedValues::forget_dead() {
    std::vector<std::shared_ptr<const void>> dead;
    const std::lock_guard guard(lock_);
    for (auto at = values_.begin(); at != values_.end();) {
        const shm::ObjectTable::Ref object{static_cast<std::uint32_t>(at->first),
                                           static_cast<std::uint32_t>(at->first >> 32)};
        if (objects_->is_live(object)) {
            ++at;
            continue;
        }
        dead.push_back(std::move(at->second));
        at = values_.erase(at);
    }
    count_.store(values_.size(), std::memory_order_relaxed); // relaxed: a hint
}

} // namespace dshm::runtime
