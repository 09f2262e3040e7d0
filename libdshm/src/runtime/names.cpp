#include "dshm/runtime/names.hpp"

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "dshm/os/file_lock.hpp"
#include "dshm/runtime/soon.hpp"

namespace dshm::runtime {

namespace {

constexpr long names_byte = 2; // of the segment's file; 0 and 1 are the launcher's and the members'

std::mutex names_of_threads;

} // namespace

NamesLock::NamesLock(const Process& process)
    : guard_(names_of_threads), file_(process.segment().file()) {
    os::wait_for_byte_for_process(file_, names_byte);
}

NamesLock::~NamesLock() { os::unlock_byte_for_process(file_, names_byte); }

std::uint64_t hash_of_name(std::string_view name) {
    std::uint64_t hash = 0xcbf29ce484222325; // FNV-1a
    for (const char byte : name)
        hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
    return hash == 0 ? 1 : hash;
}

namespace {

std::optional<shm::ObjectTable::Ref> acquire_named(std::uint64_t kind, std::string_view name) {
    current().check_session_in_passing();
    shm::ObjectTable& objects = current().objects();
    const std::uint64_t hash = hash_of_name(name);
    const auto found = objects.acquire_named(kind, hash);
    return found || kind != object_kind::array
               ? found
               : objects.acquire_named(object_kind::file_array, hash);
}

// Asked for one kind, and the name belongs to the other.
[[noreturn]] void fail_to_find(std::uint64_t kind, std::string_view name) {
    const bool array = kind == object_kind::array;
    const std::string quoted = "'" + std::string(name) + "'";
    const auto other = acquire_named(array ? object_kind::channel : object_kind::array, name);
    if (!other)
        throw std::out_of_range("dshm: there is nothing with the name " + quoted +
                                " in this session");
    static_cast<void>(ObjectHandle::adopt(*other));
    throw std::invalid_argument(
        "dshm: " + quoted +
        (array ? " is a channel, not an array" : " is an array, not a channel"));
}

} // namespace

namespace {

bool is_free(std::uint64_t kind, std::string_view name) {
    const auto other = acquire_named(kind, name);
    if (other)
        current().objects().release(*other);
    return !other;
}

[[noreturn]] void throw_taken(std::string_view name) {
    throw std::invalid_argument("dshm: there is one with the name '" + std::string(name) +
                                "' already: open it, or choose another name");
}

} // namespace

void require_free_name(std::uint64_t kind, std::string_view name) {
    if (name.empty())
        throw std::invalid_argument("dshm: a name must not be empty");
    const auto free = [&] { return is_free(kind, name); };
    if (!free() && !soon(current(), free))
        throw_taken(name);
}

void give_name(const ObjectHandle& object, std::uint64_t kind, std::string_view name) {
    require_free_name(kind, name);
    Process& process = current();
    const NamesLock lock(process);
    if (!is_free(kind, name))
        throw_taken(name);
    process.objects().set_name(object.object(), hash_of_name(name));
}

ObjectHandle open_named(std::uint64_t kind, std::string_view name) {
    const auto found = acquire_named(kind, name);
    if (!found)
        fail_to_find(kind, name);
    return ObjectHandle::adopt(*found);
}

} // namespace dshm::runtime
