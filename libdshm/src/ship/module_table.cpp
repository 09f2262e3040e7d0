// Module table and registry; see the header for the protocol.
#include "dshm/ship/module_table.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace dshm::ship {

namespace {

// Copies bytes into words and fills up with zeros. Relaxed: the texts are published by `complete`,
// and writers of the same row write the same bytes, so it does not matter whose store is seen.
template <std::size_t N>
void store_text(std::array<shm::Word64, N>& words, std::string_view text) {
    std::array<char, N* 8> bytes = {};
    std::memcpy(bytes.data(), text.data(), std::min(text.size(), bytes.size()));
    for (std::size_t i = 0; i < N; ++i) {
        std::uint64_t word;
        std::memcpy(&word, bytes.data() + i * 8, 8);
        words[i].store(word, std::memory_order_relaxed);
    }
}

template <std::size_t N>
std::array<char, N * 8> load_text(const std::array<shm::Word64, N>& words) {
    std::array<char, N * 8> bytes;
    for (std::size_t i = 0; i < N; ++i) {
        const std::uint64_t word =
            words[i].load(std::memory_order_relaxed); // ordered by the acquire of `complete`
        std::memcpy(bytes.data() + i * 8, &word, 8);
    }
    return bytes;
}

std::string hexadecimal(std::uintptr_t number) {
    std::array<char, 20> digits;
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number, 16).ptr;
    return "0x" + std::string(digits.data(), end);
}

std::string_view base_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

// The build id with its length in front, as the row has it.
std::string counted(const std::string& build_id) {
    const std::size_t length = std::min<std::size_t>(build_id.size(), 31);
    return std::string(1, static_cast<char>(length)) + build_id.substr(0, length);
}

// What a row says of the path: all of it, or where it does not fit the name alone, which nobody takes
// for a path.
std::string_view row_path(const LoadedModule& module) {
    constexpr std::size_t room = sizeof(ModuleEntry::path) - 1; // ends with a zero byte
    if (module.name.size() <= room)
        return module.name;
    return base_name(module.name).substr(0, room);
}

std::uint64_t row_key(const LoadedModule& module) {
    return module_key("", std::to_string(module.key) + ":" + std::string(row_path(module)));
}

void complete_row(ModuleEntry& entry, const LoadedModule& module) {
    if (entry.complete.load(std::memory_order_relaxed) !=
        0) // relaxed: a stale 0 only writes the same texts again
        return;
    // relaxed: published by `complete`, as the texts.
    entry.identity.store(module.key, std::memory_order_relaxed);
    store_text(entry.build_id, counted(module.build_id));
    store_text(entry.path, row_path(module));
    entry.complete.store(1, std::memory_order_release); // edge `module-texts`
}

[[noreturn]] void throw_damaged() {
    throw UnknownFunction("a function was sent that belongs to no module of this session; its "
                          "identity is damaged");
}

std::atomic<ModuleRegistry*> current_registry = nullptr;
std::atomic<std::uint64_t> registry_epoch = 0;

} // namespace

std::string hexadecimal(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes) {
        text += "0123456789abcdef"[(byte >> 4) & 15];
        text += "0123456789abcdef"[byte & 15];
    }
    return text.empty() ? "none" : text;
}

// ---- the table ----------------------------------------------------------------------------------

std::size_t ModuleTable::enter(const LoadedModule& module) {
    const std::uint64_t key = row_key(module);
    for (std::size_t index = 0; index < capacity; ++index) {
        ModuleEntry& entry = entries_[index];
        std::uint64_t seen = 0;
        // The commit: before it the row is empty, after it the row is this module's for ever.
        // Relaxed, since the key publishes nothing but itself.
        const bool mine = entry.key.compare_exchange(seen, key, std::memory_order_relaxed,
                                                     std::memory_order_relaxed);
        if (mine || seen == key) {
            complete_row(entry, module); // also for a row whose owner died after its commit
            return index;
        }
    }
    throw std::length_error("functions of more than " + std::to_string(capacity) +
                            " different programs and libraries were sent in one session");
}

std::uint64_t ModuleTable::identity(std::size_t index) const noexcept {
    if (index >= capacity ||
        entries_[index].complete.load(std::memory_order_acquire) == 0) // edge `module-texts`
        return 0;
    return entries_[index].identity.load(std::memory_order_relaxed); // ordered by the acquire
}

ModuleTable::Texts ModuleTable::texts(std::size_t index) const {
    if (identity(index) == 0)
        return {"(unnamed)", "(unknown)"};
    const auto path = load_text(entries_[index].path);
    const auto build_id = load_text(entries_[index].build_id);
    const std::size_t length = std::min<std::size_t>(static_cast<unsigned char>(build_id[0]), 31);
    return {std::string(path.data(), ::strnlen(path.data(), path.size())),
            hexadecimal(std::string_view(build_id.data() + 1, length))};
}

// ---- the registry -------------------------------------------------------------------------------

ModuleRegistry::ModuleRegistry(ModuleTable& table, ModuleSource source)
    : table_(table), source_(std::move(source)) {}

ModuleRegistry::~ModuleRegistry() {
    ModuleRegistry* self = this;
    current_registry.compare_exchange_strong(self, nullptr, std::memory_order_acq_rel);
}

FunctionId ModuleRegistry::id_of(const void* address) {
    const auto number = reinterpret_cast<std::uintptr_t>(address);
    if (number == 0)
        return {};
    const std::lock_guard lock(mutex_);
    look_around();
    Known* known = containing(number);
    if (known == nullptr)
        throw UnknownFunction("the address " + hexadecimal(number) +
                              " lies in no loaded program or library, so no other process can know "
                              "it; only functions that were compiled into one can be sent");
    if (!known->row)
        remember(table_.enter(known->module), *known);
    return FunctionId::of(*known->row, number - known->module.base);
}

const void* ModuleRegistry::loaded_address_of(FunctionId function) {
    const std::lock_guard lock(mutex_);
    return look_up(function);
}

// The lock is not held while a library is opened: its initialisers may well ask for functions.
const void* ModuleRegistry::find_address(FunctionId function) {
    if (const void* address = loaded_address_of(function))
        return address;
    const std::uint64_t identity = table_.identity(function.module());
    if (identity == 0)
        throw_damaged();
    const ModuleTable::Texts texts = table_.texts(function.module());
    OpenedLibrary opened = open_library(texts, identity);
    if (const void* address = loaded_address_of(function))
        return address;
    if (opened.handle != nullptr) {
        source_.close(opened.handle);
        opened.problem = "the file at that path is another build";
    }
    const std::lock_guard lock(mutex_);
    throw_unknown(texts, opened);
}

// Only under the lock. Null if the module is not loaded here.
const void* ModuleRegistry::look_up(FunctionId function) {
    look_around();
    const std::uint64_t identity = table_.identity(function.module());
    for (Known& known : modules_) {
        if (identity == 0 || known.module.key != identity)
            continue;
        remember(function.module(), known);
        const std::uintptr_t address = known.module.base + function.offset();
        if (address < known.module.first || address >= known.module.last)
            throw_damaged();
        return reinterpret_cast<const void*>(address);
    }
    return nullptr;
}

OpenedLibrary ModuleRegistry::open_library(const ModuleTable::Texts& texts,
                                           std::uint64_t identity) {
    if (source_.open == nullptr || texts.path.empty() || texts.path[0] != '/')
        return {};
    return source_.open(texts.path, identity);
}

// Lists the modules anew if something was loaded or unloaded. What is known stays known unless it
// moved or went.
void ModuleRegistry::look_around() {
    const std::uint64_t version = source_.version(); // first: a later change is seen next time
    if (version_ == version)
        return;
    std::vector<LoadedModule> loaded = source_.list();
    std::sort(loaded.begin(), loaded.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    modules_.clear();
    for (LoadedModule& module : loaded)
        modules_.push_back({std::move(module), std::nullopt});
    for (std::size_t row = 0; row < places_.size(); ++row)
        if (places_[row].extent.load(std::memory_order_relaxed) != 0) // relaxed: only we write
            find_again(row);
    version_ = version;
}

void ModuleRegistry::find_again(std::size_t row) {
    for (Known& known : modules_)
        if (known.module.key == table_.identity(row))
            return remember(row, known);
    places_[row].extent.store(0, std::memory_order_relaxed); // its library was closed
}

// Relaxed where nothing is published: a reader that still has the old pair holds the address of a
// library that was closed under it, which is its own mistake.
void ModuleRegistry::remember(std::size_t row, Known& known) noexcept {
    known.row = row;
    Place& place = places_[row];
    const std::uintptr_t extent = known.module.last - known.module.base;
    if (place.base.load(std::memory_order_relaxed) == known.module.base &&
        place.extent.load(std::memory_order_relaxed) == extent)
        return;
    place.extent.store(0, std::memory_order_relaxed); // no reader uses the base meanwhile
    place.base.store(known.module.base, std::memory_order_relaxed);
    place.extent.store(extent, std::memory_order_release); // edge `module-place`
}

ModuleRegistry::Known* ModuleRegistry::containing(std::uintptr_t address) {
    const auto after = std::upper_bound(
        modules_.begin(), modules_.end(), address,
        [](std::uintptr_t a, const Known& known) { return a < known.module.first; });
    if (after == modules_.begin() || address >= std::prev(after)->module.last)
        return nullptr;
    return &*std::prev(after);
}

// The build id of a module of that name that is loaded here; empty if there is none.
std::string ModuleRegistry::loaded_build_of(const std::string& path) {
    for (const Known& known : modules_)
        if (base_name(known.module.name) == base_name(path))
            return hexadecimal(known.module.build_id);
    return {};
}

void ModuleRegistry::throw_unknown(const ModuleTable::Texts& texts, const OpenedLibrary& opened) {
    std::string why = "does not have this build of it loaded";
    if (const std::string here = loaded_build_of(texts.path); !here.empty())
        why += " but another one (build id " + here + ")";
    if (!opened.problem.empty())
        why += ", and cannot open it: " + opened.problem;
    if (!opened.other_build.empty())
        why += " (build id " + opened.other_build + ")";
    throw UnknownFunction("a function of '" + texts.path + "' (build id " + texts.build_id +
                          ") was sent to a process that " + why +
                          "; run the same build everywhere, and leave libraries where they were "
                          "opened, or open them with dlopen before the Session");
}

void ModuleRegistry::make_current() noexcept {
    current_registry.store(this, std::memory_order_release);
    registry_epoch.fetch_add(1, std::memory_order_release); // edge `module-registry`
}

std::uint64_t ModuleRegistry::epoch() noexcept {
    return registry_epoch.load(std::memory_order_acquire); // edge `module-registry`
}

ModuleRegistry* ModuleRegistry::current_or_null() noexcept {
    return current_registry.load(std::memory_order_acquire);
}

ModuleRegistry& ModuleRegistry::current() {
    ModuleRegistry* registry = current_or_null();
    if (registry == nullptr)
        throw std::logic_error(
            "functions can be sent only while there is a dshm::Session; make one first in main: "
            "dshm::Session session(argc, argv);");
    return *registry;
}

FunctionId function_id_of(const void* address) {
    return address == nullptr ? FunctionId{} : ModuleRegistry::current().id_of(address);
}

const void* function_address(FunctionId function) {
    return function.null() ? nullptr : ModuleRegistry::current().address_of(function);
}

const void* loaded_function_address(FunctionId function) {
    return function.null() ? nullptr : ModuleRegistry::current().loaded_address_of(function);
}

} // namespace dshm::ship
