#include "dshm/shm/run_cache.hpp"

#include <algorithm>

namespace dshm::shm {

namespace {

bool fits(const Run& run, std::uint64_t length) {
    return run.length >= length && run.length <= length + length / 8;
}

} // namespace

std::optional<Run> RunCache::take(std::uint64_t length, Tag tag) {
    std::optional<Run> run = take_warm(length, tag);
    return run ? run : take_made(length, tag);
}

std::optional<Run> RunCache::take_warm(std::uint64_t length, Tag tag) {
    for (std::size_t i = warm_count_; i-- > 0;) {
        const Run run = warm_[i];
        if (!fits(run, length))
            continue;
        drop(i);
        if (claim(run, tag)) {
            remember(run);
            return run;
        }
    }
    return std::nullopt;
}

std::optional<Run> RunCache::take_made(std::uint64_t length, Tag tag) {
    for (const Run& run : made_)
        if (fits(run, length) && claim(run, tag))
            return run;
    return std::nullopt;
}

// Looks before it tries: most runs of `made_` are in use.
bool RunCache::claim(Run run, Tag tag) {
    const Tag found = table_.run_tag(run.first);
    return found.kind() == TagKind::warm && found.chunks() == run.length &&
           table_.change_run_tag(run.first, found, tag);
}

void RunCache::remember(Run run) {
    const auto same = [run](const Run& other) { return other.first == run.first; };
    if (Run* const known = std::find_if(made_.begin(), made_.end(), same); known != made_.end()) {
        *known = run;
        return;
    }
    made_[made_next_] = run;
    made_next_ = (made_next_ + 1) % made_slots;
}

void RunCache::keep(Run run) {
    const std::size_t bytes = run.length * chunk_size;
    if (bytes > warm_limit) {
        table_.dissolve(run, table_.me());
        return;
    }
    forget(run.first);
    while (warm_count_ == warm_slots || warm_bytes_ + bytes > warm_limit)
        dissolve_oldest();
    warm_[warm_count_++] = run;
    warm_bytes_ += bytes;
    table_.set_run_tag(run.first, Tag::warm(table_.me(), run.length));
}

void RunCache::trim() {
    while (warm_count_ != 0)
        dissolve_oldest();
}

// A run that another process had taken from the warm ones may come back: the old hint would make it
// look the oldest.
void RunCache::forget(Chunk first) {
    const auto same = [first](const Run& other) { return other.first == first; };
    const auto known = std::find_if(warm_.begin(), warm_.begin() + warm_count_, same);
    if (known != warm_.begin() + warm_count_)
        drop(static_cast<std::size_t>(known - warm_.begin()));
}

void RunCache::dissolve_oldest() {
    const Run run = warm_[0];
    drop(0);
    const Tag warm = Tag::warm(table_.me(), run.length);
    if (table_.change_run_tag(run.first, warm, Tag::leaving(table_.me())))
        table_.dissolve(run, table_.me());
}

void RunCache::drop(std::size_t index) {
    warm_bytes_ -= warm_[index].length * chunk_size;
    std::move(warm_.begin() + index + 1, warm_.begin() + warm_count_, warm_.begin() + index);
    --warm_count_;
}

} // namespace dshm::shm
