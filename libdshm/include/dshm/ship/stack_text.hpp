// The stack of a throw as it travels and as it is read.
//
// It travels as words {module, offset}, and is made into text where somebody asks for it: one frame
// a line, the innermost first, the machinery of dshm below the task's function left out:
//
//     app::parse(std::string const&) [reader+0x4f21]
//     app::load(int) [reader+0x51c0]
//
// Names come from the symbol tables of the files, so also those of static functions are there,
// unless a file was stripped or has been replaced. Functions that the compiler inlined have no frame;
// `addr2line -i` finds them by the offsets.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace dshm::ship {

// A call, as it is known without any session: also after the session has ended.
struct StackFrame {
    std::string module;   // path; empty for an address in no module
    std::string build_id; // of the module, in hexadecimal
    std::uint64_t offset;
};

// FunctionId bits of addresses in this process, 0 for those in no module. Nothing without a registry.
std::vector<std::uint64_t> frame_words(std::span<const std::uintptr_t> calls);

// What the session's module table knows of them; nothing without a registry.
std::vector<StackFrame> frames_of(std::span<const std::uint64_t> words);

// Reads files: some milliseconds.
std::string stack_text(std::span<const StackFrame> frames);

// Lines "name [place]" with the names as the linker has them, or "[place]" alone: the same with names
// as C++ spells them, without the machinery at the end. What is not printable becomes '?'.
std::string readable_calls(std::string_view lines);

} // namespace dshm::ship
