#include "dshm/runtime/names.hpp"

#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>

#include "dshm/os/file_lock.hpp"

namespace dshm::runtime {

namespace {

constexpr long names_byte = 2; // of the segment's file; 0 and 1 are the launcher's and the members'

// The kernel's lock keeps other processes out, the mutex other threads of this one.
class NamesLock {
public:
    explicit NamesLock(int file) : guard_(mutex_), file_(file) {
        os::wait_for_byte_for_process(file, names_byte);
    }
    ~NamesLock() { os::unlock_byte_for_process(file_, names_byte); }

private:
    static inline std::mutex mutex_;
    std::lock_guard<std::mutex> guard_;
    int file_;
};

} // namespace

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

} // namespace

void require_free_name(std::uint64_t kind, std::string_view name) {
    if (name.empty())
        throw std::invalid_argument("dshm: a name must not be empty");
    const auto other = acquire_named(kind, name);
    if (!other)
        return;
    current().objects().release(*other);
    throw std::invalid_argument("dshm: there is one with the name '" + std::string(name) +
                                "' already: open it, or choose another name");
}

void give_name(const ObjectHandle& object, std::uint64_t kind, std::string_view name) {
    Process& process = current();
    const NamesLock lock(process.segment().file());
    require_free_name(kind, name);
    process.objects().set_name(object.object(), hash_of_name(name));
}

ObjectHandle open_named(std::uint64_t kind, std::string_view name) {
    const auto found = acquire_named(kind, name);
    if (!found)
        throw std::out_of_range("dshm: there is nothing with the name '" + std::string(name) +
                                "' in this session");
    return ObjectHandle::adopt(*found);
}

} // namespace dshm::runtime
