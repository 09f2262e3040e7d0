// sync(block): waits for everything that the calling thread has spawned inside the block.
//
//     dshm::sync([&] {
//         for (int i = 0; i < 100; ++i)
//             dshm::spawn(work, i);
//     });
#pragma once

#include <exception>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

#include "dshm/errors.hpp"
#include "dshm/runtime/process.hpp"
#include "dshm/runtime/sync_scope.hpp"

namespace dshm {

namespace detail {

inline void wait_for_block(runtime::SyncScope& scope, std::exception_ptr thrown) {
    std::vector<std::exception_ptr> failures = scope.wait_all();
    if (thrown)
        failures.insert(failures.begin(), thrown);
    if (!failures.empty())
        throw CompositeException(std::move(failures));
}

} // namespace detail

// Gives the block's value. If the block or any of its tasks failed, waits for the rest and throws
// one CompositeException: the block's own exception first, then the tasks' in start order. Blocks
// nest. O(tasks).
template <class Block>
std::invoke_result_t<Block&> sync(Block&& block) {
    using R = std::invoke_result_t<Block&>;
    runtime::SyncScope scope(runtime::current());
    std::exception_ptr thrown;
    if constexpr (std::is_void_v<R>) {
        try {
            block();
        } catch (...) {
            thrown = std::current_exception();
        }
        detail::wait_for_block(scope, thrown);
    } else {
        std::optional<std::decay_t<R>> value;
        try {
            value.emplace(block());
        } catch (...) {
            thrown = std::current_exception();
        }
        detail::wait_for_block(scope, thrown);
        return std::move(*value);
    }
}

} // namespace dshm
