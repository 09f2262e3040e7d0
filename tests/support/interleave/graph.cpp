#include "interleave/graph.hpp"

#include <algorithm>
#include <stdexcept>

namespace interleave {

namespace {

bool acquires(std::memory_order order) {
    return order == std::memory_order_acquire || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}
bool releases(std::memory_order order) {
    return order == std::memory_order_release || order == std::memory_order_acq_rel ||
           order == std::memory_order_seq_cst;
}

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15u;
    hash ^= hash >> 29;
    hash *= 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

} // namespace

void Graph::clear() {
    locations_.clear();
    events_.clear();
    threads_ = {};
}

int Graph::location(const void* address, std::uint64_t value) {
    for (std::size_t i = 0; i < locations_.size(); ++i)
        if (locations_[i].address == address)
            return static_cast<int>(i);
    locations_.push_back({address, {Message{initial, value, {}, false}}});
    return static_cast<int>(locations_.size() - 1);
}

std::size_t Graph::place_of(int location, int event) const {
    const auto& all = messages(location);
    std::size_t place = 0;
    while (all[place].event != event)
        ++place;
    return place;
}

std::size_t Graph::oldest_visible(const Clock& now, int location) const {
    std::size_t oldest = 0;
    for (std::size_t i = 0; i < events_.size(); ++i) {
        const Event& event = events_[i];
        if (event.location != location || event.number > now[event.thread])
            continue;
        const int seen = event.writes ? static_cast<int>(i) : event.read_from;
        oldest = std::max(oldest, place_of(location, seen));
    }
    return oldest;
}

Event& Graph::add(unsigned thread, int location, std::memory_order order) {
    if (events_.size() == most_events)
        throw std::length_error("interleave: an execution has too many events");
    Thread& own = threads_[thread];
    Event event;
    event.thread = thread;
    event.number = ++own.count;
    event.order = order;
    event.location = location;
    own.now[thread] = static_cast<std::uint8_t>(own.count);
    events_.push_back(event);
    return events_.back();
}

void Graph::note_read(Event& event, const Message& message) {
    Thread& own = threads_[event.thread];
    event.reads = true;
    event.read_from = message.event;
    (acquires(event.order) ? own.now : own.acquired_later).join(message.released);
    std::uint64_t source = 1;
    if (message.event != initial) {
        const Event& writer = events_[static_cast<unsigned>(message.event)];
        source = 2 + writer.thread + most_threads * writer.number;
    }
    own.history = mix(own.history, source);
}

Message Graph::message_of(const Event& event, std::uint64_t value) const {
    Message message;
    message.event = static_cast<int>(&event - events_.data());
    message.value = value;
    const Thread& own = threads_[event.thread];
    message.released = releases(event.order) ? own.now : own.released;
    return message;
}

void Graph::insert(int location, std::size_t place, const Message& message) {
    auto& all = locations_[static_cast<unsigned>(location)].messages;
    all.insert(all.begin() + static_cast<std::ptrdiff_t>(place) + 1, message);
}

void Graph::read(unsigned thread, int location, std::size_t place, std::memory_order order) {
    Event& event = add(thread, location, order);
    note_read(event, messages(location)[place]);
    event.clock = threads_[thread].now;
}

void Graph::write(unsigned thread, int location, std::size_t place, std::uint64_t value,
                  std::memory_order order) {
    Event& event = add(thread, location, order);
    event.writes = true;
    event.clock = threads_[thread].now;
    threads_[thread].history = mix(threads_[thread].history, 0);
    insert(location, place, message_of(event, value));
}

// Its message goes on with the release sequences that the one before it belongs to.
void Graph::update(unsigned thread, int location, std::size_t place, std::uint64_t value,
                   std::memory_order order) {
    Event& event = add(thread, location, order);
    event.writes = true;
    note_read(event, messages(location)[place]);
    event.clock = threads_[thread].now;
    Message message = message_of(event, value);
    Message& before = locations_[static_cast<unsigned>(location)].messages[place];
    message.released.join(before.released);
    before.followed = true;
    insert(location, place, message);
}

void Graph::fence(unsigned thread, std::memory_order order) {
    Event& event = add(thread, -1, order);
    event.fence = true;
    Thread& own = threads_[thread];
    if (acquires(order))
        own.now.join(own.acquired_later);
    if (releases(order))
        own.released = own.now;
    event.clock = own.now;
    own.history = mix(own.history, 0);
}

std::uint64_t Graph::fingerprint() const {
    std::uint64_t sum = 0;
    for (unsigned thread = 0; thread < most_threads; ++thread)
        sum += mix(thread + 1, threads_[thread].history + threads_[thread].count);
    for (const Location& location : locations_) {
        if (location.messages.size() == 1)
            continue;
        std::uint64_t hash = reinterpret_cast<std::uintptr_t>(location.address);
        for (std::size_t place = 1; place < location.messages.size(); ++place) {
            const Event& writer = events_[static_cast<unsigned>(location.messages[place].event)];
            hash = mix(hash, writer.thread + most_threads * writer.number);
        }
        sum += hash;
    }
    return sum;
}

// ---- the axiom `sc` ------------------------------------------------------------------------------

// Modification order and from-reads into `order`, reads-from into `reads`.
void Graph::relate_messages(Relations& all, int location) const {
    const auto& list = messages(location);
    Events later;
    for (std::size_t place = list.size(); place-- > 0;) {
        if (list[place].event != initial)
            all.order[static_cast<unsigned>(list[place].event)] |= later;
        for (std::size_t i = 0; i < events_.size(); ++i) {
            const Event& event = events_[i];
            if (event.location != location || !event.reads || event.read_from != list[place].event)
                continue;
            all.order[i] |= later;
            all.order[i].reset(i);
            if (list[place].event != initial)
                all.reads[static_cast<unsigned>(list[place].event)].set(i);
        }
        if (list[place].event != initial)
            later.set(static_cast<unsigned>(list[place].event));
    }
}

Graph::Relations Graph::relations() const {
    const std::size_t count = events_.size();
    Relations all;
    for (auto* relation : {&all.program, &all.elsewhere, &all.before, &all.order, &all.reads})
        relation->resize(count);
    for (std::size_t from = 0; from < count; ++from)
        for (std::size_t to = 0; to < count; ++to) {
            const Event &a = events_[from], &b = events_[to];
            if (from == to || a.number > b.clock[a.thread])
                continue;
            all.before[from].set(to);
            if (a.thread != b.thread)
                continue;
            all.program[from].set(to);
            if (a.location != b.location || a.location < 0)
                all.elsewhere[from].set(to);
        }
    for (std::size_t i = 0; i < locations_.size(); ++i)
        relate_messages(all, static_cast<int>(i));
    return all;
}

namespace {

template <class Events>
Events image(const Events& from, const std::vector<Events>& relation) {
    Events to;
    for (std::size_t i = from._Find_first(); i < relation.size(); i = from._Find_next(i))
        to |= relation[i];
    return to;
}

// Whether the relation among the first events has a cycle: whoever is left when sinks are taken away is on or before one.
template <class Events>
bool has_cycle(const std::vector<Events>& relation, Events left) {
    for (bool smaller = true; smaller;) {
        smaller = false;
        for (std::size_t i = left._Find_first(); i < relation.size(); i = left._Find_next(i))
            if ((relation[i] & left).none()) {
                left.reset(i);
                smaller = true;
            }
    }
    return left.any();
}

} // namespace

//   scb      = sb ∪ sb≠loc; hb; sb≠loc ∪ hb|loc ∪ mo ∪ fr
//   psc_base = ([E] ∪ [F]; hb?); scb; ([E] ∪ hb?; [F])          E: seq_cst events, F: seq_cst fences
//   psc_F    = [F]; (hb ∪ hb; eco; hb); [F]                     eco = rf ∪ mo ∪ fr ∪ (mo ∪ fr); rf
bool Graph::sequentially_consistent() const {
    Events strong, strong_fences;
    for (std::size_t i = 0; i < events_.size(); ++i)
        if (events_[i].order == std::memory_order_seq_cst) {
            strong.set(i);
            strong_fences[i] = events_[i].fence;
        }
    if (strong.count() < 2)
        return true;

    const Relations all = relations();
    std::vector<Events> by_location; // for hb|loc
    for (std::size_t location = 0; location < locations_.size(); ++location) {
        by_location.emplace_back();
        for (std::size_t i = 0; i < events_.size(); ++i)
            by_location.back()[i] = events_[i].location == static_cast<int>(location);
    }
    std::vector<Events> scb(events_.size()), eco(events_.size()), psc(events_.size());
    for (std::size_t i = 0; i < events_.size(); ++i) {
        scb[i] = all.program[i] | all.order[i] |
                 image(image(all.elsewhere[i], all.before), all.elsewhere);
        if (events_[i].location >= 0)
            scb[i] |= all.before[i] & by_location[static_cast<unsigned>(events_[i].location)];
        eco[i] = all.reads[i] | all.order[i] | image(all.order[i], all.reads);
    }
    for (std::size_t i = strong._Find_first(); i < events_.size(); i = strong._Find_next(i)) {
        Events start;
        start.set(i);
        if (events_[i].fence)
            start |= all.before[i];
        const Events reached = image(start, scb);
        psc[i] = (reached & strong) | ((reached | image(reached, all.before)) & strong_fences);
        if (events_[i].fence)
            psc[i] |=
                (all.before[i] | image(image(all.before[i], eco), all.before)) & strong_fences;
    }
    return !has_cycle(psc, strong);
}

} // namespace interleave
