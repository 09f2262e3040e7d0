// Values of Shared<T> that this process has decoded: once for all its handles and tasks.
//
// An entry does not hold its object, so a worker that has used a shared value keeps nothing alive:
// when the last handle of any process goes, the entry is dropped at the next look. It is kept while
// this process has no handle of its own, because the next task's closure usually brings one. Any
// thread may call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "dshm/shm/object_table.hpp"

namespace dshm::runtime {

class SharedValues {
public:
    explicit SharedValues(shm::ObjectTable& objects) : objects_(&objects) {}

    // The value of an object that the caller holds; decoded by the first to ask. Several threads
    // may decode at the same time, and the first one's value stays. Throws what `decode` throws.
    std::shared_ptr<const void> find(shm::ObjectTable::Ref object,
                                     const std::function<std::shared_ptr<const void>()>& decode);
    // Drops values whose objects are gone. O(values).
    void forget_dead();
    bool empty() const {
        return count_.load(std::memory_order_relaxed) == 0; // relaxed: a hint
    }

private:
    static constexpr std::uint64_t key(shm::ObjectTable::Ref object) {
        return std::uint64_t{object.generation} << 32 | object.index;
    }

    shm::ObjectTable* objects_;
    std::mutex lock_;
    std::unordered_map<std::uint64_t, std::shared_ptr<const void>> values_;
    std::atomic<std::size_t> count_{0}; // of values_
};

} // namespace dshm::runtime
