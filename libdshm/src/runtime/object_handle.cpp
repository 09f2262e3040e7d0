#include "dshm/runtime/object_handle.hpp"

#include <stdexcept>
#include <utility>

#include "dshm/runtime/soon.hpp"

namespace dshm::runtime {

ObjectHandle::ObjectHandle(std::size_t bytes, const shm::ObjectDescription& description,
                           std::size_t note) {
    Process& process = current();
    const auto create = [&] { object_ = process.objects().create(bytes, description, note); };
    try {
        create();
    } catch (const SharedMemoryExhausted&) {
        if (!soon(process, [&] { return succeeds<SharedMemoryExhausted>(create); }))
            throw;
    }
    address_ = process.segment().base() + process.objects().view(object_).block;
    session_ = current_session();
}

ObjectHandle ObjectHandle::adopt(shm::ObjectTable::Ref object) {
    Process& process = current();
    ObjectHandle handle;
    handle.object_ = object;
    handle.session_ = current_session();
    handle.address_ = process.segment().base() + process.objects().view(object).block;
    return handle;
}

ObjectHandle::ObjectHandle(const ObjectHandle& other) : object_(other.object_) {
    if (!object_)
        return; // one that holds nothing, here and anywhere
    if (auto* scope = ship::ShippingScope::current_sending()) {
        scope->add({handle_kind::object, object_.index, object_.generation}, this, sizeof *this);
        return;
    }
    const bool arriving = ship::ShippingScope::current_receiving() != nullptr;
    if (!arriving && other.session_ == 0)
        return;
    Process& process = current();
    if (!arriving && other.session_ != current_session())
        throw std::logic_error("dshm: this shared object belongs to a session that has ended");
    if (!process.objects().acquire(object_))
        throw std::runtime_error("dshm: a shared object that was sent here is gone: every process "
                                 "that held it has ended");
    session_ = current_session();
    address_ = process.segment().base() + process.objects().view(object_).block;
}

ObjectHandle& ObjectHandle::operator=(const ObjectHandle& other) {
    ObjectHandle copy(other);
    std::swap(address_, copy.address_);
    std::swap(session_, copy.session_);
    std::swap(object_, copy.object_);
    return *this;
}

bool ObjectHandle::holds() const noexcept {
    return session_ != 0 && session_ == current_session() && current_or_null() != nullptr;
}

void ObjectHandle::check_session() const {
    if (!holds())
        throw std::logic_error("dshm: this shared object belongs to a session that has ended");
    current().check_session_in_passing();
}

void ObjectHandle::drop() noexcept {
    Process* process = current_or_null();
    if (session_ == 0 || process == nullptr || session_ != current_session())
        return;
    process->objects().release(object_);
    // Pins of tasks that have ended meanwhile may be all that holds it now.
    if (process->holdings().pins_anything())
        process->holdings().release_pins_after_drop(object_);
}

} // namespace dshm::runtime
