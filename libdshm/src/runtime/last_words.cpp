#include "dshm/runtime/last_words.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

namespace dshm::runtime {

// Words, because somebody may read while they change.
void write_last_words(const ProcessTable& table, std::size_t turn, WorkerId id,
                      std::string_view text) {
    LastWords& words = table.last_words(turn);
    words.key.store(0, std::memory_order_relaxed); // relaxed: the fence is behind it
    std::atomic_thread_fence(std::memory_order_release);
    text = text.substr(0, LastWords::room);
    for (std::size_t at = 0; at < text.size(); at += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, text.data() + at, std::min<std::size_t>(8, text.size() - at));
        words.text[at / 8].store(word, std::memory_order_relaxed); // relaxed: before the key
    }
    words.size.store(text.size(), std::memory_order_relaxed); // relaxed: before the key
    // release, edge `last-words`.
    words.key.store(static_cast<std::uint64_t>(id), std::memory_order_release);
}

std::string last_words_of(const ProcessTable& table, WorkerId id) {
    const auto key = static_cast<std::uint64_t>(id);
    for (std::size_t n = 0; n < last_words_slots && id > 0; ++n) {
        const LastWords& words = table.last_words(n);
        if (words.key.load(std::memory_order_acquire) != key) // edge `last-words`
            continue;
        // relaxed, here and below: what was read is thrown away unless the key is still there.
        const std::size_t size = words.size.load(std::memory_order_relaxed);
        std::string text(std::min(size, LastWords::room), '\0');
        for (std::size_t at = 0; at < text.size(); at += 8) {
            const std::uint64_t word = words.text[at / 8].load(std::memory_order_relaxed);
            std::memcpy(text.data() + at, &word, std::min<std::size_t>(8, text.size() - at));
        }
        std::atomic_thread_fence(std::memory_order_acquire);
        if (words.key.load(std::memory_order_relaxed) == key)
            return text;
    }
    return {};
}

} // namespace dshm::runtime
