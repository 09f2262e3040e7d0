#include "dshm/os/symbols.hpp"

#include <elf.h>

#include <cstring>
#include <fstream>
#include <optional>

namespace dshm::os {

namespace {

// Reads pieces of a file, never more than it has.
class ElfFile {
public:
    explicit ElfFile(const std::string& path) : file_(path, std::ios::binary | std::ios::ate) {
        if (file_)
            size_ = static_cast<std::uint64_t>(file_.tellg());
    }

    // Items of a plain type; none if the file ends before.
    template <class T>
    std::vector<T> read(std::uint64_t offset, std::uint64_t count) {
        if (offset > size_ || count > (size_ - offset) / sizeof(T))
            return {};
        std::vector<T> items(count);
        file_.seekg(static_cast<std::streamoff>(offset));
        file_.read(reinterpret_cast<char*>(items.data()),
                   static_cast<std::streamsize>(count * sizeof(T)));
        return file_ ? std::move(items) : std::vector<T>();
    }

    std::vector<Elf64_Shdr> sections() {
        const auto header = read<Elf64_Ehdr>(0, 1);
        if (header.empty() || std::memcmp(header[0].e_ident, ELFMAG, SELFMAG) != 0 ||
            header[0].e_ident[EI_CLASS] != ELFCLASS64 ||
            header[0].e_shentsize != sizeof(Elf64_Shdr))
            return {};
        return read<Elf64_Shdr>(header[0].e_shoff, header[0].e_shnum);
    }

private:
    std::ifstream file_;
    std::uint64_t size_ = 0;
};

bool is_function_at(const Elf64_Sym& symbol, std::uint64_t address) {
    const int type = ELF64_ST_TYPE(symbol.st_info);
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && symbol.st_shndx != SHN_UNDEF &&
           address >= symbol.st_value && address - symbol.st_value < symbol.st_size;
}

// Fills in what is missing.
void look_up(ElfFile& file, const Elf64_Shdr& table, const Elf64_Shdr& texts,
             std::span<const std::uint64_t> addresses, std::vector<std::string>& names) {
    const auto symbols = file.read<Elf64_Sym>(table.sh_offset, table.sh_size / sizeof(Elf64_Sym));
    auto strings = file.read<char>(texts.sh_offset, texts.sh_size);
    strings.push_back('\0'); // whatever the file says, each name ends
    for (const Elf64_Sym& symbol : symbols)
        for (std::size_t i = 0; i < addresses.size(); ++i)
            if (names[i].empty() && is_function_at(symbol, addresses[i]) &&
                symbol.st_name < strings.size())
                names[i] = strings.data() + symbol.st_name;
}

} // namespace

std::vector<std::string> function_names(const std::string& path,
                                        std::span<const std::uint64_t> addresses) {
    std::vector<std::string> names(addresses.size());
    ElfFile file(path);
    const std::vector<Elf64_Shdr> sections = file.sections();
    for (const std::uint32_t kind : {SHT_SYMTAB, SHT_DYNSYM})
        for (const Elf64_Shdr& section : sections)
            if (section.sh_type == kind && section.sh_link < sections.size())
                look_up(file, section, sections[section.sh_link], addresses, names);
    return names;
}

} // namespace dshm::os
