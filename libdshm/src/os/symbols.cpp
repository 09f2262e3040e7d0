#include "dshm/os/symbols.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>

#include "dshm/os/mapping.hpp"

namespace dshm::os {

namespace {

using Bytes = std::span<const std::byte>;

// So many bytes of the file from `offset` on; none if it ends before.
Bytes part(Bytes file, std::uint64_t offset, std::uint64_t size) {
    if (offset > file.size() || size > file.size() - offset)
        return {};
    return file.subspan(offset, size);
}

// A plain item that may lie anywhere.
template <class T>
T item(Bytes bytes, std::size_t index) {
    T value;
    std::memcpy(&value, bytes.data() + index * sizeof(T), sizeof(T));
    return value;
}

// The table of sections: empty if it is no such file.
Bytes sections_of(Bytes file) {
    const Bytes first = part(file, 0, sizeof(Elf64_Ehdr));
    if (first.empty())
        return {};
    const auto header = item<Elf64_Ehdr>(first, 0);
    if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 ||
        header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_shentsize != sizeof(Elf64_Shdr))
        return {};
    return part(file, header.e_shoff, std::uint64_t{header.e_shnum} * sizeof(Elf64_Shdr));
}

bool is_function(const Elf64_Sym& symbol) {
    const int type = ELF64_ST_TYPE(symbol.st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF;
}

std::string_view text_at(Bytes texts, std::uint64_t offset) {
    if (offset >= texts.size())
        return {};
    const auto* const begin = reinterpret_cast<const char*>(texts.data()) + offset;
    return {begin, strnlen(begin, texts.size() - offset)};
}

// Fills in what is missing.
void look_up(Bytes symbols, Bytes texts, std::span<const std::uint64_t> addresses,
             std::span<std::string_view> names) {
    for (std::size_t s = 0; s < symbols.size() / sizeof(Elf64_Sym); ++s) {
        const auto symbol = item<Elf64_Sym>(symbols, s);
        if (!is_function(symbol))
            continue;
        for (std::size_t i = 0; i < addresses.size(); ++i)
            if (addresses[i] - symbol.st_value < symbol.st_size && names[i].empty())
                names[i] = text_at(texts, symbol.st_name);
    }
}

} // namespace

void find_function_names(Bytes file, std::span<const std::uint64_t> addresses,
                         std::span<std::string_view> names) noexcept {
    const Bytes sections = sections_of(file);
    const std::size_t count = sections.size() / sizeof(Elf64_Shdr);
    for (const std::uint32_t kind : {SHT_SYMTAB, SHT_DYNSYM})
        for (std::size_t i = 0; i < count; ++i) {
            const auto table = item<Elf64_Shdr>(sections, i);
            if (table.sh_type != kind || table.sh_link >= count)
                continue;
            const auto texts = item<Elf64_Shdr>(sections, table.sh_link);
            look_up(part(file, table.sh_offset, table.sh_size),
                    part(file, texts.sh_offset, texts.sh_size), addresses, names);
        }
}

std::vector<std::string> function_names(const std::string& path,
                                        std::span<const std::uint64_t> addresses) {
    std::vector<std::string> names(addresses.size());
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat state {};
    if (!file || fstat(file.get(), &state) != 0 || state.st_size <= 0)
        return names;
    const auto size = static_cast<std::size_t>(state.st_size);
    void* const start = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (start == MAP_FAILED)
        return names;
    std::vector<std::string_view> found(addresses.size());
    find_function_names({static_cast<const std::byte*>(start), size}, addresses, found);
    std::copy(found.begin(), found.end(), names.begin());
    munmap(start, size);
    return names;
}

} // namespace dshm::os
