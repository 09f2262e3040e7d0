#include "dshm/remote_channel.hpp"

#include <stdexcept>

#include "dshm/runtime/call.hpp"
#include "dshm/runtime/channel_texts.hpp"
#include "dshm/runtime/names.hpp"

namespace dshm::detail {

namespace {

runtime::Channel::Shape checked_shape(std::size_t capacity, int owner, std::size_t plain_bytes) {
    if (capacity != unlimited && capacity > runtime::Channel::most_messages)
        throw std::invalid_argument(
            "dshm: a channel has a capacity of 0 (rendezvous), 1, 2, ... or dshm::unlimited, not " +
            std::to_string(static_cast<std::ptrdiff_t>(capacity)));
    runtime::member_of(runtime::current(), owner); // throws for one that is not there
    return {capacity, plain_bytes != 0 ? plain_bytes : sizeof(runtime::Item), plain_bytes == 0,
            owner};
}

runtime::ObjectHandle make(const runtime::Channel::Shape& shape, const ChannelType& type,
                           std::string_view name = {}) {
    const std::size_t bytes = runtime::Channel::bytes(shape);
    const std::size_t texts = runtime::ChannelTexts::bytes_for(name, type.text);
    runtime::ObjectHandle object(bytes,
                                 {.kind = runtime::object_kind::channel,
                                  .type_hash = runtime::hash_of_name(type.key),
                                  .user = {shape.capacity, texts}},
                                 texts);
    auto* const block = static_cast<std::byte*>(object.address());
    runtime::Channel::make(block, shape);
    if (texts != 0)
        runtime::ChannelTexts::write(block + shm::ObjectTable::note_offset(0, bytes), name,
                                     type.text);
    return object;
}

runtime::Channel* channel_of(const runtime::ObjectHandle& object) {
    return object.address() == nullptr ? nullptr
                                       : &runtime::current().channels().find(object.object());
}

} // namespace

ChannelHandle::ChannelHandle(runtime::ObjectHandle object)
    : object_(object), channel_(channel_of(object_)) {}

ChannelHandle::ChannelHandle(std::size_t capacity, int owner, std::size_t plain_bytes,
                             const ChannelType& type)
    : ChannelHandle(make(checked_shape(capacity, owner, plain_bytes), type)) {}

ChannelHandle ChannelHandle::create(const std::string& name, std::size_t capacity,
                                    std::size_t plain_bytes, const ChannelType& type) {
    const auto shape = checked_shape(capacity, myid(), plain_bytes);
    runtime::require_free_name(runtime::object_kind::channel, name);
    const runtime::ObjectHandle made = make(shape, type, name);
    runtime::give_name(made, runtime::object_kind::channel, name);
    return ChannelHandle(made);
}

ChannelHandle ChannelHandle::open(const std::string& name, const ChannelType& type) {
    const runtime::ObjectHandle object = runtime::open_named(runtime::object_kind::channel, name);
    const auto view = runtime::current().objects().view(object.object());
    if (view.description.type_hash != runtime::hash_of_name(type.key))
        throw std::invalid_argument("dshm: the channel '" + name +
                                    "' has messages of another type than " +
                                    std::string(type.text));
    return ChannelHandle(object);
}

ChannelHandle::ChannelHandle(const ChannelHandle& other)
    : object_(other.object_), channel_(channel_of(object_)) {}

ChannelHandle& ChannelHandle::operator=(const ChannelHandle& other) {
    object_ = other.object_;
    channel_ = channel_of(object_);
    return *this;
}

runtime::Channel& ChannelHandle::channel() const {
    object_.check_session();
    channel_->check_owner();
    return *channel_;
}

void ChannelHandle::close(std::exception_ptr exception) const {
    if (!exception)
        return channel().close(nullptr);
    const ship::ExceptionRecord record = ship::capture(exception, 0);
    channel().close(&record);
}

void ChannelHandle::require_fetchable() const {
    if (channel().rendezvous())
        throw std::logic_error(
            "dshm: fetch: a channel of capacity 0 hands a message over and never "
            "keeps one; use take");
}

} // namespace dshm::detail
