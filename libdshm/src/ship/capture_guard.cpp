// What the words of a closure are: the table of mappings, and the verdict on each word.
#include "dshm/ship/capture_guard.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "dshm/os/memory_map.hpp"
#include "dshm/ship/exception_record.hpp"
#include "dshm/ship/module_table.hpp"

namespace dshm::ship::detail {

namespace {

// ---- what is mapped -----------------------------------------------------------------------------

enum class Memory : std::uint8_t {
    unknown,      // nothing, as far as is known
    image,        // a loaded program or library
    stack,        // of the main thread
    heap,         // that of the program break
    other,        // any other private memory
    segment,      // shared memory of dshm
    shared,       // another shared mapping
    inaccessible, // kept back; may become any of the above without notice
    shadow,       // what a sanitizer reserves; nothing points there
};

struct Place {
    std::uintptr_t first;
    std::uintptr_t last;
    Memory memory;

    friend bool operator==(const Place&, const Place&) = default;
};

// Below, only programs that are not position-independent have memory.
constexpr std::uintptr_t end_of_low_memory = std::uintptr_t{1} << 32;
// The shadows of the sanitizers are terabytes; nothing else is.
constexpr std::uintptr_t least_shadow = std::uintptr_t{1} << 40;

// Made without a name, and linked or not. Others' files in /dev/shm are mapped as well.
bool is_segment(std::string_view name) {
    return name.starts_with("/dev/shm/#") || name.starts_with("/dev/shm/dshm.") ||
           name.starts_with("/memfd:dshm");
}

Memory memory_of(const os::MemoryRegion& region) {
    if (!region.accessible)
        return Memory::inaccessible;
    if (region.shared)
        return is_segment(region.name) ? Memory::segment : Memory::shared;
    if (region.name == "[heap]")
        return Memory::heap;
    if (region.name == "[stack]")
        return Memory::stack;
    return region.last - region.first >= least_shadow ? Memory::shadow : Memory::other;
}

// Two sorted lists. Images come first: parts of them (.bss, and what the loader leaves between
// segments) look like private memory to the kernel.
class AddressTable {
public:
    static AddressTable of_this_process() {
        AddressTable table;
        for (const LoadedModule& module : ModuleSource::of_this_process().list())
            table.images_.push_back({module.first, module.last, Memory::image});
        std::sort(table.images_.begin(), table.images_.end(),
                  [](const Place& a, const Place& b) { return a.first < b.first; });
        for (const os::MemoryRegion& region : os::memory_regions())
            if (region.first < end_of_addresses)
                table.regions_.push_back({region.first, region.last, memory_of(region)});
        for (const Place& place : table.regions_)
            if (place.memory == Memory::heap)
                table.first_of_heap_ = place.first;
        return table;
    }

    Place find(std::uintptr_t address) const {
        const Place image = find_in(images_, address);
        return image.memory == Memory::image ? image : find_in(regions_, address);
    }
    std::uintptr_t lowest() const {
        std::uintptr_t lowest = images_.empty() ? end_of_addresses : images_.front().first;
        for (const Place& place : regions_)
            if (place.memory != Memory::shadow && place.memory != Memory::inaccessible)
                return std::min(lowest, place.first);
        return lowest;
    }
    // Where the heap of the program break begins; 0 if there is none.
    std::uintptr_t first_of_heap() const { return first_of_heap_; }

    friend bool operator==(const AddressTable&, const AddressTable&) = default;

private:
    static Place find_in(const std::vector<Place>& places, std::uintptr_t address) {
        const auto after =
            std::upper_bound(places.begin(), places.end(), address,
                             [](std::uintptr_t a, const Place& place) { return a < place.first; });
        if (after == places.begin() || address >= std::prev(after)->last)
            return {0, 0, Memory::unknown};
        return *std::prev(after);
    }

    std::vector<Place> images_;
    std::vector<Place> regions_;
    std::uintptr_t first_of_heap_ = 0;
};

// The newest table. Threads keep the one they saw last, and look here only when there is a newer.
struct Published {
    std::mutex mutex;
    std::shared_ptr<const AddressTable> table; // guarded by the mutex
    std::atomic<std::uint64_t> version{0};     // changes after the table
};

Published& published() {
    static Published* const all = new Published; // threads may outlive static objects
    return *all;
}

// ---- what a thread knows ------------------------------------------------------------------------

// An address in an image and its identity, good for one registry and one table.
struct Translation {
    std::uintptr_t address = 0;
    std::uint64_t bits = 0;
};

class View {
public:
    static View& of_this_thread() {
        thread_local View view;
        return view;
    }

    // Before each closure: the newest table, and no translations from before it or from another
    // session.
    void bring_up_to_date() {
        // acquire, edge `address-table`; the table itself is read under the mutex.
        if (version_ != published().version.load(std::memory_order_acquire)) [[unlikely]]
            take();
        if (!table_) [[unlikely]]
            refresh();
        if (const std::uint64_t epoch = ModuleRegistry::epoch(); epoch_ != epoch) [[unlikely]] {
            translations_ = {};
            epoch_ = epoch;
        }
    }

    const AddressTable& table() const { return *table_; }

    // Asks the kernel.
    void refresh() {
        auto table = std::make_shared<const AddressTable>(AddressTable::of_this_process());
        Published& all = published();
        {
            const std::lock_guard lock(all.mutex);
            if (!all.table || !(*all.table == *table)) {
                // relaxed: see lowest_address.
                lowest_address.store(table->lowest(), std::memory_order_relaxed);
                all.table = std::move(table);
                all.version.fetch_add(1, std::memory_order_release); // edge `address-table`
            }
        }
        take();
    }

    // What translate gave for it before; else 0.
    std::uint64_t remembered(std::uintptr_t address) {
        const Translation& slot = slot_of(address);
        return slot.address == address ? slot.bits : 0;
    }

    // The FunctionId of an address in an image: some 100 ns. 0 if the image has gone.
    std::uint64_t translate(std::uintptr_t address) {
        try {
            Translation& slot = slot_of(address);
            slot = {address, function_id_of(reinterpret_cast<const void*>(address)).bits};
            return slot.bits;
        } catch (const UnknownFunction&) {
            return 0;
        }
    }

private:
    static constexpr std::size_t translations = 32;

    Translation& slot_of(std::uintptr_t address) {
        return translations_[(address ^ address >> 4 ^ address >> 12) % translations];
    }

    void take() {
        Published& all = published();
        const std::lock_guard lock(all.mutex);
        table_ = all.table;
        version_ = all.version.load(std::memory_order_relaxed); // relaxed: under the mutex
        translations_ = {};
    }

    std::shared_ptr<const AddressTable> table_;
    std::uint64_t version_ = 0;
    std::uint64_t epoch_ = 0;
    std::array<Translation, translations> translations_{};
};

// ---- verdicts -----------------------------------------------------------------------------------

struct Verdict {
    enum { number, translated, refused } what = number;
    std::uint64_t bits = 0;          // translated: what to write
    Memory memory = Memory::unknown; // refused: why
};

std::uint64_t read_word_at(std::uintptr_t address) {
    // relaxed: of the allocator's own bookkeeping, which other threads may be changing.
    return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(address), __ATOMIC_RELAXED);
}

// Whether a block of glibc's heap begins there, judged by the sizes that stand before it and before
// the next: {size | flags, bytes..., size | previous in use}. Only asked of low addresses, which are
// numbers far more often.
bool begins_block(std::uintptr_t address, std::uintptr_t first, std::uintptr_t last) {
    if (address % 16 != 0 || address < first + 16 || address + 16 > last)
        return false;
    const std::uint64_t size = read_word_at(address - 8) & ~std::uint64_t{7};
    if (size < 32 || size % 16 != 0 || size > last - address)
        return false;
    return (read_word_at(address + size - 8) & 1) != 0;
}

// Images that lie low lie there in every process of this program, so their addresses need nothing.
Verdict judge_low(const View& view, std::uintptr_t word) {
    const std::uintptr_t first = view.table().first_of_heap();
    if (first == 0 || word < first)
        return {};
    const std::uintptr_t last = os::program_break();
    return word < last && begins_block(word, first, last)
               ? Verdict{Verdict::refused, 0, Memory::heap}
               : Verdict{};
}

Verdict judge_found(View& view, std::uintptr_t word, Place place) {
    switch (place.memory) {
    case Memory::unknown:
    case Memory::inaccessible:
    case Memory::shadow:
        return {};
    case Memory::image:
        if (const std::uint64_t bits = view.translate(word))
            return {Verdict::translated, bits};
        return {};
    default:
        break;
    }
    const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
    const bool stack = here >= place.first && here < place.last;
    return {Verdict::refused, 0, stack ? Memory::stack : place.memory};
}

Verdict judge(View& view, std::uintptr_t word) {
    if (const std::uint64_t bits = view.remembered(word)) [[likely]]
        return {Verdict::translated, bits};
    if (word < end_of_low_memory)
        return judge_low(view, word);
    const Place known = view.table().find(word);
    if (known.memory == Memory::image)
        if (const std::uint64_t bits = view.translate(word))
            return {Verdict::translated, bits};
    if (known.memory == Memory::shadow || (known.memory == Memory::unknown && !os::is_mapped(word)))
        return {};
    view.refresh(); // nothing is refused on what was true a while ago
    return judge_found(view, word, view.table().find(word));
}

// ---- closures -----------------------------------------------------------------------------------

bool in_handle(const CapturedImage& captured, std::size_t word) {
    const std::byte* at = captured.image + word * bytes_of_word;
    return std::any_of(captured.handles.begin(), captured.handles.end(), [at](const auto& handle) {
        const auto* first = static_cast<const std::byte*>(handle.address);
        return at + bytes_of_word > first && at < first + handle.size;
    });
}

Verdict judge_word(View& view, const CapturedImage& captured, std::size_t word) {
    const std::uint64_t value = load_word(captured.image, word);
    if (value >= end_of_addresses || value == 0 || in_handle(captured, word))
        return {};
    return judge(view, value);
}

std::string name_of(Memory memory) {
    switch (memory) {
    case Memory::stack:
        return "this process's stack";
    case Memory::heap:
        return "this process's heap";
    case Memory::segment:
        return "the shared memory segment, which other processes have elsewhere";
    case Memory::shared:
        return "a shared mapping, such as the file of a SharedArray, which other processes may "
               "have "
               "elsewhere or not at all";
    default:
        return "this process's private memory (a large or another thread's block of the heap, the "
               "stack of another thread, or a mapped file)";
    }
}

std::string hexadecimal(std::uint64_t number) {
    std::array<char, 16> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

[[noreturn]] void refuse(const CapturedImage& captured, std::size_t word, Memory memory) {
    throw std::invalid_argument(
        "dshm: this callable cannot be sent to another process: the 8 bytes at offset " +
        std::to_string(word * bytes_of_word) + " of its captures are an address (" +
        hexadecimal(load_word(captured.image, word)) + ") in " + name_of(memory) +
        ". A captured pointer, `this`, std::span, std::string, std::vector or other container "
        "holds "
        "such addresses: pass it as an argument of the call, or put it into a SharedArray and "
        "capture that; or write dshm::trust(f) if you know that its bytes mean the same in every "
        "process. The callable is " +
        demangled(*captured.type));
}

} // namespace

void translate_captures(const CapturedImage& captured) {
    View& view = View::of_this_thread();
    view.bring_up_to_date();
    bool any = false;
    for (std::size_t word = 0; word < captured.words; ++word) {
        const Verdict verdict = judge_word(view, captured, word);
        if (verdict.what == Verdict::refused)
            refuse(captured, word, verdict.memory);
        any |= verdict.what == Verdict::translated;
    }
    // In a second pass, so that what is refused is destroyed with the words that it was made with.
    for (std::size_t word = 0; any && word < captured.words; ++word) {
        const Verdict verdict = judge_word(view, captured, word);
        if (verdict.what != Verdict::translated)
            continue;
        std::memcpy(captured.image + word * bytes_of_word, &verdict.bits, sizeof verdict.bits);
        captured.bitmap[word / 8] |= std::byte{1} << (word % 8);
    }
}

void restore_captures(std::byte* target, const std::byte* image, std::size_t bytes,
                      const std::byte* bitmap) {
    std::memcpy(target, image, bytes);
    for (std::size_t word = 0; word < bytes / bytes_of_word; ++word) {
        if ((bitmap[word / 8] & (std::byte{1} << (word % 8))) == std::byte{})
            continue;
        const void* address = function_address({load_word(image, word)});
        std::memcpy(target + word * bytes_of_word, &address, sizeof address);
    }
}

} // namespace dshm::ship::detail
