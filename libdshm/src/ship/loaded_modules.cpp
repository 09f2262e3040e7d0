// What the dynamic loader has loaded into this process: names, addresses and GNU build ids; and
// loading more.
#include <dlfcn.h>
#include <limits.h>
#include <link.h>
#include <sys/auxv.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dshm/ship/module_table.hpp"

namespace dshm::ship {

namespace {

std::uint64_t hash(std::string_view bytes) {
    std::uint64_t value = 0xcbf29ce484222325; // FNV-1a
    for (const char byte : bytes)
        value = (value ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    value ^= value >> 32; // and a finisher, so that every bit of a short text counts
    value *= 0xd6e8feb86659fd93;
    return value ^ (value >> 32);
}

// The build id among the notes [begin, end), empty if there is none.
std::string build_id_in(const char* begin, const char* end, std::size_t alignment) {
    const auto padded = [alignment](std::size_t size) { return base::round_up(size, alignment); };
    while (static_cast<std::size_t>(end - begin) >= sizeof(ElfW(Nhdr))) {
        ElfW(Nhdr) note;
        std::memcpy(&note, begin, sizeof note);
        const std::size_t body = sizeof note + padded(note.n_namesz);
        const std::size_t whole = body + padded(note.n_descsz);
        if (whole > static_cast<std::size_t>(end - begin))
            break;
        if (note.n_type == NT_GNU_BUILD_ID &&
            std::string_view(begin + sizeof note, note.n_namesz) == std::string_view("GNU", 4))
            return std::string(begin + body, note.n_descsz);
        begin += whole;
    }
    return {};
}

std::string build_id_of(const dl_phdr_info& info) {
    for (std::size_t i = 0; i < info.dlpi_phnum; ++i) {
        const auto& header = info.dlpi_phdr[i];
        if (header.p_type != PT_NOTE)
            continue;
        const char* begin = reinterpret_cast<const char*>(info.dlpi_addr + header.p_vaddr);
        std::string id = build_id_in(begin, begin + header.p_memsz, header.p_align == 8 ? 8 : 4);
        if (!id.empty())
            return id;
    }
    return {};
}

} // namespace

std::string build_id_of_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    ElfW(Ehdr) elf{};
    file.read(reinterpret_cast<char*>(&elf), sizeof elf);
    if (!file || std::memcmp(elf.e_ident, ELFMAG, SELFMAG) != 0 ||
        elf.e_phentsize != sizeof(ElfW(Phdr)))
        return {};
    constexpr std::size_t longest_notes = base::mebibytes(1);
    for (std::size_t i = 0; i < elf.e_phnum; ++i) {
        ElfW(Phdr) header{};
        file.seekg(static_cast<std::streamoff>(elf.e_phoff + i * sizeof header));
        file.read(reinterpret_cast<char*>(&header), sizeof header);
        if (!file || header.p_type != PT_NOTE || header.p_filesz > longest_notes)
            continue;
        std::string notes(header.p_filesz, '\0');
        file.seekg(static_cast<std::streamoff>(header.p_offset));
        file.read(notes.data(), static_cast<std::streamsize>(notes.size()));
        std::string id =
            build_id_in(notes.data(), notes.data() + file.gcount(), header.p_align == 8 ? 8 : 4);
        if (!id.empty())
            return id;
    }
    return {};
}

namespace {

std::string name_of(const dl_phdr_info& info) {
    if (info.dlpi_name != nullptr && info.dlpi_name[0] != '\0')
        return info.dlpi_name;
    std::error_code none;
    const std::string program = std::filesystem::read_symlink("/proc/self/exe", none).string();
    if (!program.empty())
        return program;
    const auto called = reinterpret_cast<const char*>(::getauxval(AT_EXECFN));
    return called != nullptr ? called : "the program";
}

// The file that an address is mapped from, for libraries that were opened by a relative path: the
// directory may have been changed since.
std::string mapped_file(std::uintptr_t address) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> maps(std::fopen("/proc/self/maps", "re"),
                                                               &std::fclose);
    char line[PATH_MAX + 128];
    while (maps && std::fgets(line, sizeof line, maps.get()) != nullptr) {
        unsigned long first = 0, last = 0;
        const char* path = std::strchr(line, '/');
        if (std::sscanf(line, "%lx-%lx", &first, &last) == 2 && address >= first &&
            address < last && path != nullptr)
            return {path, std::strcspn(path, "\n")};
    }
    return {};
}

void make_absolute(LoadedModule& module) {
    if (module.name[0] == '/' || module.name.find('/') == std::string::npos)
        return;
    if (std::string path = mapped_file(module.first); !path.empty())
        module.name = std::move(path);
}

// Sets the address range; gives the sizes of the segments, which tell apart modules without a build
// id.
std::string measure(const dl_phdr_info& info, LoadedModule& module) {
    std::string sizes;
    module.first = ~std::uintptr_t{0};
    for (std::size_t i = 0; i < info.dlpi_phnum; ++i) {
        const auto& header = info.dlpi_phdr[i];
        if (header.p_type != PT_LOAD)
            continue;
        module.first = std::min<std::uintptr_t>(module.first, info.dlpi_addr + header.p_vaddr);
        module.last =
            std::max<std::uintptr_t>(module.last, info.dlpi_addr + header.p_vaddr + header.p_memsz);
        sizes += "/" + std::to_string(header.p_filesz) + ":" + std::to_string(header.p_memsz);
    }
    return sizes;
}

int add_module(dl_phdr_info* info, std::size_t, void* modules) {
    LoadedModule module;
    module.name = name_of(*info);
    module.base = info->dlpi_addr;
    const std::string sizes = measure(*info, module);
    if (module.first < module.last) {
        module.build_id = build_id_of(*info);
        module.key =
            module_key(module.build_id, module.name.substr(module.name.rfind('/') + 1) + sizes);
        static_cast<std::vector<LoadedModule>*>(modules)->push_back(std::move(module));
    }
    return 0;
}

int read_version(dl_phdr_info* info, std::size_t, void* version) {
    *static_cast<std::uint64_t*>(version) =
        info->dlpi_adds + (static_cast<std::uint64_t>(info->dlpi_subs) << 32);
    return 1; // the counters are the same for all, so the first module is enough
}

} // namespace

std::uint64_t module_key(const std::string& build_id, const std::string& fallback) {
    const std::uint64_t key = build_id.empty() ? hash("name" + fallback) : hash("build" + build_id);
    return key == 0 ? 1 : key;
}

std::string program_build_id() {
    std::string id;
    const auto first = [](dl_phdr_info* info, std::size_t, void* found) {
        *static_cast<std::string*>(found) = build_id_of(*info);
        return 1; // the program comes first
    };
    ::dl_iterate_phdr(first, &id);
    return id;
}

namespace {

struct KnownModules {
    ModuleList list;
    bool frozen = false;
};

std::optional<KnownModules>& known_modules() {
    static std::optional<KnownModules> known;
    return known;
}

std::uint64_t modules_version() {
    const auto& known = known_modules();
    if (known && known->frozen)
        return known->list.version;
    std::uint64_t changes = 0;
    ::dl_iterate_phdr(&read_version, &changes);
    return changes;
}

std::vector<LoadedModule> list_modules() {
    if (const auto& known = known_modules(); known && known->list.version == modules_version())
        return known->list.modules;
    std::vector<LoadedModule> modules;
    ::dl_iterate_phdr(&add_module, &modules);
    for (LoadedModule& module : modules)
        make_absolute(module);
    return modules;
}

// Looks into the file first, so that no code of another build ever runs.
OpenedLibrary open_library(const std::string& path, std::uint64_t identity) {
    OpenedLibrary opened;
    const std::string build_id = build_id_of_file(path);
    if (!build_id.empty() && module_key(build_id, "") != identity) {
        opened.problem = "the file at that path is another build";
        opened.other_build = hexadecimal(build_id);
        return opened;
    }
    opened.handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (opened.handle == nullptr)
        opened.problem = ::dlerror();
    return opened;
}

} // namespace

ModuleSource ModuleSource::of_this_process() {
    return {&list_modules, &modules_version, &open_library,
            [](void* handle) { ::dlclose(handle); }};
}

ModuleList modules_of_this_process() {
    const std::uint64_t version = modules_version(); // first: a later change is seen
    return {list_modules(), version};
}

void freeze_modules(ModuleList list) { known_modules() = {std::move(list), true}; }

void thaw_modules() {
    if (known_modules())
        known_modules()->frozen = false;
}

} // namespace dshm::ship
