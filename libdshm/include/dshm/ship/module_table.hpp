// The modules of a session: programs and libraries that contain functions which were sent
// somewhere.
//
// ModuleTable is resident: rows of build ids, the same in every process; zero-filled memory is an
// empty table. A row is entered by one compare-and-swap of its key, a hash of the build id, and is
// never removed. The key alone is the truth. The texts beside it only serve messages, and every
// process that has the module writes the same ones: whoever dies between the key and the texts
// leaves a row that is valid, and whose texts the next one completes. Nothing can be stuck.
//
// ModuleRegistry is the private side: where this process has these modules. It translates addresses
// to {module, offset} and back, notices libraries opened later, and may be used from any thread. A
// library must stay open while functions of it are under way.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "dshm/ship/exceptions.hpp"
#include "dshm/ship/function_id.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::ship {

// One module, as one process has it.
struct LoadedModule {
    std::string name;
    std::string build_id; // bytes; empty where the linker gave none
    std::uint64_t key =
        0; // identity: hash of the build id, else of name and segment sizes; never 0
    std::uintptr_t base = 0;  // what the loader added to the addresses in the file
    std::uintptr_t first = 0; // the addresses it occupies: [first, last)
    std::uintptr_t last = 0;
};

//   0       8          16              48                                      256
//   | key   | complete | build id: 32  | name: 208, ends with a zero byte       |
//
// key       0 while the row is empty, then for ever the module's hash complete  1 when the two
// texts are there; release at the store, acquire at the load (edge `module-texts`) build id  length
// in the first byte, then up to 31 bytes
struct ModuleEntry {
    shm::Word64 key;
    shm::Word64 complete;
    std::array<shm::Word64, 4> build_id;
    std::array<shm::Word64, 26> name;
};

static_assert(sizeof(ModuleEntry) == 256, "32 KiB of the segment hold 128 of them");
static_assert(offsetof(ModuleEntry, build_id) == 16 && offsetof(ModuleEntry, name) == 48,
              "as drawn");

class ModuleTable {
public:
    static constexpr std::size_t capacity = 128;

    struct Texts {
        std::string name;
        std::string build_id; // in hexadecimal
    };

    // The row of a module, entered if it is new. Rows are taken in order, so the index is the same
    // for everybody.
    std::size_t enter(const LoadedModule& module);
    // The key of a row; 0 if it is empty or there is no such row.
    std::uint64_t key(std::size_t index) const noexcept;
    Texts texts(std::size_t index) const;

private:
    std::array<ModuleEntry, capacity> entries_;
};

static_assert(sizeof(ModuleTable) == 32 * 1024, "the segment's module region");
static_assert(std::is_standard_layout_v<ModuleTable>, "resident");

// Where a registry learns what is loaded; a test gives its own.
struct ModuleSource {
    std::function<std::vector<LoadedModule>()> list;
    std::function<std::uint64_t()> version; // changes whenever something is loaded or unloaded

    // The dynamic loader's view of this process.
    static ModuleSource of_this_process();
};

// Identity of a module whose loader image was read already.
std::uint64_t module_key(const std::string& build_id, const std::string& fallback);

class ModuleRegistry {
public:
    explicit ModuleRegistry(ModuleTable& table,
                            ModuleSource source = ModuleSource::of_this_process());
    ~ModuleRegistry();
    ModuleRegistry(const ModuleRegistry&) = delete;
    ModuleRegistry& operator=(const ModuleRegistry&) = delete;

    // Some 100 ns: callers keep the answer for each call site. Throws UnknownFunction for an
    // address outside every image.
    FunctionId id_of(const void* address);

    // A few ns for modules seen before. Throws UnknownFunction, naming the module, if this process
    // does not have it.
    const void* address_of(FunctionId function) {
        if (function.null())
            return nullptr;
        if (function.module() < ModuleTable::capacity) [[likely]] {
            const Place& place = places_[function.module()];
            // Edge MODULE-PLACE: who sees the extent sees the base that belongs to it.
            const std::uintptr_t extent = place.extent.load(std::memory_order_acquire);
            if (function.offset() < extent) [[likely]] // relaxed: ordered by the acquire above
                return reinterpret_cast<const void*>(place.base.load(std::memory_order_relaxed) +
                                                     function.offset());
        }
        return find_address(function);
    }

    // The registry that function_id_of and function_address use; the last one made current and
    // still alive.
    void make_current() noexcept;
    static ModuleRegistry& current();

private:
    struct Place {
        std::atomic<std::uintptr_t> base = 0;
        std::atomic<std::uintptr_t> extent = 0; // 0: not known here
    };
    struct Known {
        LoadedModule module;
        std::optional<std::size_t> row;
    };

    const void* find_address(FunctionId function);
    void look_around();
    void find_again(std::size_t row);
    void remember(std::size_t row, Known& known) noexcept;
    Known* containing(std::uintptr_t address);
    [[noreturn]] void throw_unknown(FunctionId function) const;

    ModuleTable& table_;
    ModuleSource source_;
    std::mutex mutex_;           // guards the two below; places_ are read without it
    std::vector<Known> modules_; // by address
    std::optional<std::uint64_t> version_;
    std::array<Place, ModuleTable::capacity> places_;
};

} // namespace dshm::ship
