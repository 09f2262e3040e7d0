// The modules of a session: programs and libraries that contain functions which were sent
// somewhere.
//
// ModuleTable is resident: rows of build ids and paths, the same in every process; zero-filled memory
// is an empty table. A row is entered by one compare-and-swap of its key, a hash of build id and
// path, and is never removed. The texts beside it follow from nothing but what the key was made of,
// so every process that enters the row writes the same ones: whoever dies between the key and the
// texts leaves a row whose texts the next one completes. Nothing can be stuck. A row's number is
// given out only when its texts are complete.
//
// ModuleRegistry is the private side: where this process has these modules. It translates addresses
// to {module, offset} and back, and may be used from any thread. It notices libraries that the
// program opens later, and opens those itself that a function of another process needs: by the path
// that they have there, if the file is the same build. A library must stay open while functions of
// it are under way; one that the registry has opened stays open.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dshm/ship/exceptions.hpp"
#include "dshm/ship/function_id.hpp"
#include "dshm/shm/layout.hpp"
#include "dshm/shm/word.hpp"

namespace dshm::ship {

// One module, as one process has it.
struct LoadedModule {
    std::string name;     // its path, absolute where that is known
    std::string build_id; // bytes; empty where the linker gave none
    std::uint64_t key =
        0; // identity: hash of the build id, else of name and segment sizes; never 0
    std::uintptr_t base = 0;  // what the loader added to the addresses in the file
    std::uintptr_t first = 0; // the addresses it occupies: [first, last)
    std::uintptr_t last = 0;
};

//   0       8          16         24              56                                512
//   | key   | complete | identity | build id: 32  | path: 456, ends with a zero byte |
//
// key       0 while the row is empty, then for ever a hash of identity and path
// complete  1 when the rest is there; release at the store, acquire at the load (edge
//           `module-texts`)
// identity  LoadedModule::key
// build id  length in the first byte, then up to 31 bytes
// path      a name without a slash where the path is not known or too long
struct ModuleEntry {
    shm::Word64 key;
    shm::Word64 complete;
    shm::Word64 identity;
    std::array<shm::Word64, 4> build_id;
    std::array<shm::Word64, 57> path;
};

static_assert(sizeof(ModuleEntry) == 512, "64 KiB of the segment hold 128 of them");
static_assert(offsetof(ModuleEntry, identity) == 16 && offsetof(ModuleEntry, build_id) == 24 &&
                  offsetof(ModuleEntry, path) == 56,
              "as drawn");

class ModuleTable {
public:
    static constexpr std::size_t capacity = 128;

    struct Texts {
        std::string path;
        std::string build_id; // in hexadecimal
    };

    // The row of a module, entered if it is new. Rows are taken in order, so the index is the same
    // for everybody who has the module at the same path.
    std::size_t enter(const LoadedModule& module);
    // The identity of a row's module; 0 if there is none.
    std::uint64_t identity(std::size_t index) const noexcept;
    Texts texts(std::size_t index) const;

private:
    std::array<ModuleEntry, capacity> entries_;
};

static_assert(sizeof(ModuleTable) == shm::module_region_size, "the segment's module region");
static_assert(std::is_standard_layout_v<ModuleTable>, "resident");

// What came of opening a library: a handle, or why there is none.
struct OpenedLibrary {
    void* handle = nullptr;
    std::string problem = {};
    std::string other_build = {}; // what the file is instead: its build id, in hexadecimal
};

// Where a registry learns what is loaded, and loads more; a test gives its own.
struct ModuleSource {
    std::function<std::vector<LoadedModule>()> list;
    std::function<std::uint64_t()> version; // changes whenever something is loaded or unloaded
    // Opens the library at a path if it is the module of this identity. May run code of the library.
    std::function<OpenedLibrary(const std::string& path, std::uint64_t identity)> open = nullptr;
    std::function<void(void* handle)> close = nullptr;

    // The dynamic loader's view of this process, or what freeze_modules said.
    static ModuleSource of_this_process();
};

// What the loader had loaded, by its count of changes.
struct ModuleList {
    std::vector<LoadedModule> modules;
    std::uint64_t version = 0;
};
ModuleList modules_of_this_process();

// From now on these are the modules of this process, and the loader is not asked: for a process that
// was forked while another thread may have been in dlopen, whose lock nobody gives back there. One
// thread.
void freeze_modules(ModuleList list);
// The loader is asked again whether there were changes since.
void thaw_modules();

// Identity of a module whose loader image was read already.
std::uint64_t module_key(const std::string& build_id, const std::string& fallback);

// The build id of this program, in bytes; empty where the linker gave none.
std::string program_build_id();

// The same of a file, without loading it; empty if it is none of the loader's.
std::string build_id_of_file(const std::string& path);

// Bytes as a message shows them; "none" for none.
std::string hexadecimal(std::string_view bytes);

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

    // A few ns for modules seen before. A library that this process does not have is opened. Throws
    // UnknownFunction, naming the module and what is there instead, if that cannot be.
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

    // The same, but opens nothing: null if the module is not loaded here. Throws UnknownFunction for
    // a damaged identity.
    const void* loaded_address_of(FunctionId function);

    // What the session knows of a row's module, loaded here or not.
    ModuleTable::Texts texts_of(std::size_t row) const { return table_.texts(row); }

    // The registry that function_id_of and function_address use; the last one made current and
    // still alive.
    void make_current() noexcept;
    // Another number after each change of the current registry, for those who remember answers.
    static std::uint64_t epoch() noexcept;
    static ModuleRegistry& current();
    static ModuleRegistry* current_or_null() noexcept;

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
    const void* look_up(FunctionId function);
    OpenedLibrary open_library(const ModuleTable::Texts& texts, std::uint64_t identity);
    void look_around();
    void find_again(std::size_t row);
    void remember(std::size_t row, Known& known) noexcept;
    Known* containing(std::uintptr_t address);
    std::string loaded_build_of(const std::string& path);
    [[noreturn]] void throw_unknown(const ModuleTable::Texts& texts, const OpenedLibrary& opened);

    ModuleTable& table_;
    ModuleSource source_;
    std::mutex mutex_;           // guards the two below; places_ are read without it
    std::vector<Known> modules_; // by address
    std::optional<std::uint64_t> version_;
    std::array<Place, ModuleTable::capacity> places_;
};

} // namespace dshm::ship
