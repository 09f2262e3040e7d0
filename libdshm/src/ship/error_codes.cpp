// Categories of other processes, and the details of codes as bytes.
#include "error_codes.hpp"

#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "dshm/ship/codec.hpp"
#include "dshm/ship/exception_type.hpp"

namespace dshm::ship {

namespace {

// Lives as long as the program, as categories do.
class ForeignCategory final : public std::error_category {
public:
    explicit ForeignCategory(std::string name) : name_(std::move(name)) {}

    const char* name() const noexcept override { return name_.c_str(); }
    std::string message(int value) const override {
        const std::lock_guard lock(mutex_);
        const auto found = texts_.find(value);
        return found == texts_.end() ? name_ + " error " + std::to_string(value) : found->second;
    }
    void learn(int value, const std::string& text) {
        const std::lock_guard lock(mutex_);
        if (texts_.size() < most_texts)
            texts_.try_emplace(value, text);
    }

private:
    static constexpr std::size_t most_texts = 4096; // of codes that are made up as they go

    const std::string name_;
    mutable std::mutex mutex_;
    std::map<int, std::string> texts_;
};

ForeignCategory& foreign_category(const std::string& name) {
    static std::mutex mutex;
    static auto& all = *new std::map<std::string, ForeignCategory>; // outlives every error code
    const std::lock_guard lock(mutex);
    return all.try_emplace(name, name).first->second;
}

} // namespace

std::vector<std::byte> packed(const CodeDetails& details) {
    const auto& [text, first, second] = details;
    const detail::AlignedBytes bytes(footprint(text, first, second).size);
    Writer writer(bytes.data(), bytes.size());
    encode(writer, text, first, second);
    return {bytes.data(), bytes.data() + bytes.size()};
}

CodeDetails unpacked(const std::vector<std::byte>& bytes) {
    CodeDetails details;
    if (bytes.empty())
        return details;
    const detail::AlignedBytes aligned(bytes);
    Reader reader(aligned.data(), aligned.size());
    details.text = decode<std::string>(reader);
    details.first_path = decode<std::string>(reader);
    details.second_path = decode<std::string>(reader);
    return details;
}

std::string safe_message(const std::error_code& code) {
    try {
        return code.message();
    } catch (...) {
        return {};
    }
}

std::string name_of(const std::error_category& category) {
    const std::error_category* known = detail::category_named(category.name());
    return known == nullptr || known == &category ? category.name()
                                                  : std::string("other ") + category.name();
}

const std::error_category& category_of(int value, const std::string& name,
                                       const std::string& text) {
    if (const std::error_category* known = detail::category_named(name))
        return *known;
    ForeignCategory& category = foreign_category(name);
    if (!text.empty())
        category.learn(value, text);
    return category;
}

} // namespace dshm::ship
