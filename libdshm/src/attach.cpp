#include "dshm/attach.hpp"

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "dshm/launch/attachment.hpp"
#include "dshm/launch/session_state.hpp"
#include "dshm/runtime/channel_texts.hpp"

namespace dshm {

struct Client::State {
    State(std::string_view name, std::chrono::milliseconds timeout) : attachment(name, timeout) {}
    launch::Attachment attachment;
};

namespace {

// One attach() at a time: the second finds the first one's process.
std::mutex attaching;

void require_no_session() {
    if (launch::current_session_state() != nullptr || runtime::current_or_null() != nullptr)
        throw std::logic_error(
            "dshm: attach: there is a Session or a Client in this process already; "
            "end it before attaching to a session");
}

std::optional<NamedObject> describe_array(const shm::Segment& segment,
                                          const shm::ObjectView& view) {
    const runtime::ArrayNote* const note = runtime::ArrayNote::find(segment, view);
    // relaxed: one that is closed at this moment may be listed.
    if (note == nullptr || note->name().empty() ||
        note->closed.load(std::memory_order_relaxed) != 0)
        return std::nullopt;
    return detail::describe_array(*note, view);
}

std::optional<NamedObject> describe_channel(const shm::Segment& segment,
                                            const shm::ObjectView& view) {
    auto texts = runtime::ChannelTexts::find(segment, view);
    if (!texts)
        return std::nullopt;
    NamedObject object;
    object.kind = NamedObject::Kind::channel;
    object.name = std::move(texts->name);
    object.type = std::move(texts->type);
    return object;
}

// Held while it is looked at, as somebody holds it who has opened it by its name.
template <class Describe>
void add_objects(std::vector<NamedObject>& all, std::uint64_t kind, Describe&& describe) {
    runtime::Process& process = runtime::current();
    process.objects().for_each_live(kind, [&](shm::ObjectTable::Ref ref, const shm::ObjectView&) {
        if (!process.objects().acquire(ref))
            return;
        const auto held = runtime::ObjectHandle::adopt(ref);
        if (auto object = describe(process.segment(), process.objects().view(ref)))
            all.push_back(std::move(*object));
    });
}

} // namespace

NamedObject detail::describe_array(const runtime::ArrayNote& note, const shm::ObjectView& view) {
    const auto& user = view.description.user;
    const std::size_t dimensions = std::min<std::size_t>(note.dimensions, user.size());
    NamedObject object;
    object.name = note.name();
    object.type = note.type();
    object.dims.assign(user.begin(), user.begin() + static_cast<std::ptrdiff_t>(dimensions));
    object.elements = Elements::from_bits(view.description.type_hash);
    object.bytes = object.elements.size;
    for (const std::size_t dim : object.dims)
        object.bytes *= dim;
    object.read_only = note.read_only();
    return object;
}

Client::Client(std::unique_ptr<State> state) : state_(std::move(state)) {}
Client::Client(Client&&) noexcept = default;
Client& Client::operator=(Client&& other) noexcept {
    Client taken(std::move(other));
    std::swap(state_, taken.state_);
    return *this;
}

Client::~Client() {
    // A child that the program forked has a copy of this object and none of what it stands for.
    if (state_ && state_->attachment.maker() != getpid())
        static_cast<void>(state_.release());
}

void Client::check() const {
    if (!state_)
        throw std::logic_error("dshm: this Client has been moved from");
    runtime::current().check_session_in_passing();
}

std::vector<NamedObject> Client::names() const {
    using namespace runtime;
    check();
    std::vector<NamedObject> all;
    for (const std::uint64_t kind : {object_kind::array, object_kind::file_array})
        add_objects(all, kind, describe_array);
    add_objects(all, object_kind::channel, describe_channel);
    std::sort(all.begin(), all.end(), [](const NamedObject& a, const NamedObject& b) {
        return std::tie(a.name, a.kind) < std::tie(b.name, b.kind);
    });
    return all;
}

std::string Client::session_name() const {
    if (!state_)
        throw std::logic_error("dshm: this Client has been moved from");
    const std::string& link = state_->attachment.link_name();
    return link.substr(link.find('.', link.find('.') + 1) + 1);
}

Client attach(std::string_view name, AttachOptions options) {
    const std::lock_guard guard(attaching);
    require_no_session();
    return Client(std::make_unique<Client::State>(name, options.timeout));
}

} // namespace dshm
