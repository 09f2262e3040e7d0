#include "dshm/caching_pool.hpp"

#include <algorithm>
#include <mutex>
#include <stdexcept>
#include <unordered_map>

namespace dshm {

namespace detail {

StoredCallable::StoredCallable(const StoredCallable& other) : object_(other.object_) {
    auto* scope = ship::ShippingScope::current_sending();
    if (scope == nullptr) {
        if (ship::ShippingScope::current_receiving() == nullptr)
            inner_ = other.inner_;
        return;
    }
    for (const ship::HandleRef& handle : *other.inner_)
        scope->add(handle, this, sizeof *this);
}

ship::Reader StoredCallable::bytes() const {
    const auto view = runtime::current().objects().view(object_.object());
    return {static_cast<const std::byte*>(object_.address()), view.description.user[0]};
}

std::shared_ptr<const void>
StoredCallable::find(const std::function<std::shared_ptr<const void>()>& decode) const {
    return runtime::current().shared_values().find(object_.object(), decode);
}

// Handles in a callable compare by their bytes: those of equal bytes are handles of the same object.
struct StoredCallables::Entries {
    struct Entry {
        std::vector<std::byte> image;
        StoredCallable stored;
        std::shared_ptr<const void> kept;
    };
    std::mutex lock;
    std::unordered_multimap<const void*, Entry> by_type;
};

StoredCallables::StoredCallables() : entries_(std::make_shared<Entries>()) {}

// Two threads may store the same callable at the same time; one of them is not found again.
StoredCallable StoredCallables::find(const void* type, std::span<const std::byte> image,
                                     const Store& store) {
    {
        const std::lock_guard guard(entries_->lock);
        const auto [first, last] = entries_->by_type.equal_range(type);
        for (auto at = first; at != last; ++at)
            if (std::equal(image.begin(), image.end(), at->second.image.begin()))
                return at->second.stored;
    }
    std::shared_ptr<const void> kept;
    const StoredCallable stored = store(kept);
    const std::lock_guard guard(entries_->lock);
    entries_->by_type.emplace(
        type, Entries::Entry{{image.begin(), image.end()}, stored, std::move(kept)});
    return stored;
}

void StoredCallables::clear() {
    decltype(Entries::by_type) gone; // whose destructors run without the lock
    const std::lock_guard guard(entries_->lock);
    std::swap(gone, entries_->by_type);
}

std::size_t StoredCallables::size() const {
    const std::lock_guard guard(entries_->lock);
    return entries_->by_type.size();
}

} // namespace detail

CachingPool::CachingPool(const CachingPool& other) : pool_(other.pool_), stored_(other.stored_) {
    if (ship::ShippingScope::current_sending() != nullptr)
        throw std::invalid_argument(
            "dshm: a CachingPool cannot be sent to another process, because "
            "what it has stored belongs to this one; send a WorkerPool");
}

} // namespace dshm
