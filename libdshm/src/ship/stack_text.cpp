#include "dshm/ship/stack_text.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <map>
#include <memory>
#include <string_view>

#include "dshm/os/symbols.hpp"
#include "dshm/ship/module_table.hpp"

namespace dshm::ship {

namespace {

std::string demangled_name(const std::string& name) {
    int status = 0;
    const std::unique_ptr<char, decltype(&std::free)> text(
        abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status), &std::free);
    return status == 0 && text ? text.get() : name;
}

std::string place(const StackFrame& frame) {
    std::array<char, 16> digits;
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), frame.offset, 16).ptr;
    return frame.module.substr(frame.module.rfind('/') + 1) + "+0x" +
           std::string(digits.data(), end);
}

// Demangled, empty where not known. One look into each file.
std::vector<std::string> names_of(std::span<const StackFrame> frames) {
    std::map<std::string, std::vector<std::size_t>> by_module;
    for (std::size_t i = 0; i < frames.size(); ++i)
        if (frames[i].module.starts_with('/'))
            by_module[frames[i].module].push_back(i);
    std::vector<std::string> names(frames.size());
    for (const auto& [path, which] : by_module) {
        if (hexadecimal(build_id_of_file(path)) != frames[which.front()].build_id)
            continue;
        std::vector<std::uint64_t> offsets;
        for (const std::size_t i : which)
            offsets.push_back(frames[i].offset);
        const std::vector<std::string> found = os::function_names(path, offsets);
        for (std::size_t k = 0; k < which.size(); ++k)
            names[which[k]] = demangled_name(found[k]);
    }
    return names;
}

// "void app::run<int>(long)" without what is in brackets: "void app::run".
std::string without_brackets(std::string_view name) {
    std::string outside;
    int depth = 0;
    for (const char c : name) {
        depth += c == '<' || c == '(';
        if (depth == 0)
            outside += c;
        if ((c == '>' || c == ')') && depth > 0)
            --depth;
    }
    return outside;
}

// What runs a task's function, or what starts an exception on its way.
bool is_machinery(const std::string& name) {
    const std::string text = " " + without_brackets(name);
    const auto begins = [&text](const char* prefix) {
        return text.find(std::string(" ") + prefix) != std::string::npos;
    };
    return begins("dshm::runtime::") || begins("dshm::ship::") || begins("dshm::detail::") ||
           begins("std::invoke") || begins("std::__invoke") || begins("std::apply") ||
           begins("std::__apply");
}

bool is_throw(const std::string& name) {
    return name == "__cxa_throw" || name.starts_with("__interceptor_");
}

} // namespace

std::vector<std::uint64_t> frame_words(std::span<const std::uintptr_t> calls) {
    std::vector<std::uint64_t> words;
    ModuleRegistry* registry = ModuleRegistry::current_or_null();
    for (const std::uintptr_t call : calls)
        if (registry != nullptr)
            try {
                words.push_back(registry->id_of(reinterpret_cast<const void*>(call)).bits);
            } catch (...) {
                words.push_back(0); // code that somebody generated, or a table that is full
            }
    return words;
}

std::vector<StackFrame> frames_of(std::span<const std::uint64_t> words) {
    std::vector<StackFrame> frames;
    ModuleRegistry* registry = ModuleRegistry::current_or_null();
    if (registry == nullptr)
        return frames;
    std::map<std::uint64_t, ModuleTable::Texts> modules;
    for (const std::uint64_t word : words) {
        const FunctionId id{word};
        if (id.null()) {
            frames.push_back({});
            continue;
        }
        const auto [known, fresh] = modules.try_emplace(id.module());
        if (fresh)
            known->second = registry->texts_of(id.module());
        frames.push_back({known->second.path, known->second.build_id, id.offset()});
    }
    return frames;
}

std::string stack_text(std::span<const StackFrame> frames) {
    const std::vector<std::string> names = names_of(frames);
    std::size_t first = 0, last = frames.size();
    while (first < last && is_throw(names[first]))
        ++first;
    while (last > first + 1 && is_machinery(names[last - 1])) // one line stays, it names the task
        --last;
    std::string text;
    for (std::size_t i = first; i < last; ++i)
        text += (names[i].empty() ? "" : names[i] + " ") +
                (frames[i].module.empty() ? "[unknown]" : "[" + place(frames[i]) + "]") + "\n";
    return text;
}

// Longer ones are shown as they are: taking apart what a mad process has made up may take long.
constexpr std::size_t longest_name = 512;

std::string readable_calls(std::string_view lines) {
    std::string text;
    std::size_t keep = 0;
    while (!lines.empty()) {
        const std::string_view line = lines.substr(0, lines.find('\n'));
        lines.remove_prefix(std::min(lines.size(), line.size() + 1));
        const std::size_t blank = line.find(' ');
        const bool named = line.starts_with('_') && blank <= longest_name;
        const std::string name = named ? demangled_name(std::string(line.substr(0, blank)))
                                       : std::string(line.substr(0, blank));
        text += name + std::string(line.substr(std::min(blank, line.size()))) + "\n";
        if (keep == 0 || !is_machinery(name))
            keep = text.size();
    }
    text.resize(keep);
    for (char& c : text)
        if (static_cast<unsigned char>(c) < ' ' && c != '\n')
            c = '?';
    return text;
}

} // namespace dshm::ship
