// The objects behind the shared pointers of one value: each is written once, under a number, and
// read once.
//
// Numbers count from 1 in the order of first occurrence; 0 is null. Reading checks the type that a
// number was made with, so that a damaged number cannot make one object pass for another. Belong to
// one archive and one thread; nothing is left when that goes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <typeinfo>
#include <unordered_map>
#include <utility>
#include <vector>

namespace dshm::ship {

class SharedObjectsWritten {
public:
    struct Entry {
        std::uint32_t number;
        bool is_new;
        bool under_way; // its own members are still being written: the pointers form a cycle
    };

    // An object and its first member have one address and two types, so the type counts too.
    Entry add(std::shared_ptr<const void> object, const std::type_info& type) {
        const auto number = static_cast<std::uint32_t>(kept_.size()) + 1;
        const auto [entry, is_new] = numbers_.try_emplace({object.get(), &type}, number);
        if (is_new)
            kept_.push_back({std::move(object), true}); // so that its address stays its own
        return {entry->second, is_new, kept_[entry->second - 1].under_way};
    }
    void finish(std::uint32_t number) { kept_[number - 1].under_way = false; }

private:
    struct Key {
        const void* address;
        const std::type_info* type;
        bool operator==(const Key& other) const {
            return address == other.address && *type == *other.type;
        }
    };
    struct Hash {
        std::size_t operator()(const Key& key) const noexcept {
            return std::hash<const void*>()(key.address);
        }
    };
    struct Kept {
        std::shared_ptr<const void> object;
        bool under_way;
    };

    std::unordered_map<Key, std::uint32_t, Hash> numbers_;
    std::vector<Kept> kept_;
};

class SharedObjectsRead {
public:
    std::uint32_t next() const noexcept { return static_cast<std::uint32_t>(objects_.size()) + 1; }

    // A place for the object with number next(), which may be filled later.
    std::uint32_t add(const std::type_info& type) {
        objects_.push_back({nullptr, &type});
        return static_cast<std::uint32_t>(objects_.size());
    }
    void fill(std::uint32_t number, std::shared_ptr<void> object) {
        objects_[number - 1].object = std::move(object);
    }
    // Throws DecodeError for one that was not read, or was read as another type.
    const std::shared_ptr<void>& find(std::uint32_t number, const std::type_info& type) const;

private:
    struct Entry {
        std::shared_ptr<void> object;
        const std::type_info* type;
    };

    std::vector<Entry> objects_;
};

} // namespace dshm::ship
