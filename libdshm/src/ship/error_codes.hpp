// Error codes inside exceptions: what crosses beside their number. Internal to the bodies of this
// layer.
//
// Codes of the standard library's categories keep their category. Any other category is an object of
// the throwing process; here a category of the same name stands for it, which knows the texts of the
// codes that arrived. It equals no category of this process.
#pragma once

#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

namespace dshm::ship {

// The text of a code, and the paths of a filesystem_error.
struct CodeDetails {
    std::string text;
    std::string first_path;
    std::string second_path;
};

std::vector<std::byte> packed(const CodeDetails& details);
// Throws DecodeError; nothing gives nothing.
CodeDetails unpacked(const std::vector<std::byte>& bytes);

// The message of a code, or nothing if its category throws.
std::string safe_message(const std::error_code& code);

// The name under which a category travels; one that only calls itself like a standard one is marked.
std::string name_of(const std::error_category& category);

// The category of that name, in which `value` has that text.
const std::error_category& category_of(int value, const std::string& name, const std::string& text);

} // namespace dshm::ship
