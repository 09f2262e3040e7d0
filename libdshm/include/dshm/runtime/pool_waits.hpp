// How many waits of this process each pool of workers has: the last one takes the process's bit
// away. Private memory; any thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <unordered_map>

#include "dshm/shm/object_table.hpp"

namespace dshm::runtime {

class PoolWaits {
public:
    void begin(shm::ObjectTable::Ref pool) {
        const std::lock_guard guard(lock_);
        ++waits_[key(pool)];
    }
    // Calls last() while no other wait of that pool can begin, if there is none left.
    template <class Last>
    void end(shm::ObjectTable::Ref pool, Last&& last) {
        const std::lock_guard guard(lock_);
        if (--waits_[key(pool)] != 0)
            return;
        waits_.erase(key(pool));
        last();
    }

private:
    static constexpr std::uint64_t key(shm::ObjectTable::Ref object) {
        return std::uint64_t{object.generation} << 32 | object.index;
    }

    std::mutex lock_;
    std::unordered_map<std::uint64_t, unsigned> waits_;
};

} // namespace dshm::runtime
