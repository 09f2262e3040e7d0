// Typed messages into a channel and out of it: as plain bytes in its cells, or encoded in blocks.
#pragma once

#include <cstring>
#include <memory>
#include <new>
#include <optional>

#include "dshm/base/scope_guard.hpp"
#include "dshm/runtime/channel_wait.hpp"

namespace dshm::runtime {

template <class T>
class Messages {
    static constexpr bool plain = ship::Bitwise<T> && sizeof(T) <= 256 && alignof(T) <= 8;

public:
    // Of a cell's payload; 0: messages lie in blocks.
    static constexpr std::size_t plain_bytes = plain ? sizeof(T) : 0;

    // A copy of the oldest message, which stays.
    static T fetch(Channel& channel) {
        return *wait_for(channel, &look, os::Clock::time_point::max());
    }

    // False when the deadline came first.
    static bool put(Channel& channel, const T& value, os::Clock::time_point deadline) {
        if constexpr (plain) {
            const Raw raw = Raw::of(value);
            std::uint64_t position;
            if (!channel.rendezvous() && channel.try_put(raw, position) == Channel::Put::done)
                [[likely]]
                return true;
            return put_at(
                channel, [&](std::uint64_t& at) { return channel.try_put(raw, at); }, [] {},
                deadline);
        } else {
            Message message(channel, value);
            return put_at(
                channel, [&](std::uint64_t& at) { return message.try_put(at); },
                [&] { message.take_back(); }, deadline);
        }
    }

    static std::optional<T> take(Channel& channel, os::Clock::time_point deadline) {
        if constexpr (plain) {
            Raw raw;
            if (channel.try_take(raw) == Channel::Take::done) [[likely]]
                return raw.value();
        }
        return wait_for(channel, &take_one, deadline);
    }

private:
    struct Raw {
        alignas(T) std::byte bytes[sizeof(T)];
        const T& value() const { return *std::launder(reinterpret_cast<const T*>(bytes)); }
        static Raw of(const T& value) {
            Raw raw;
            std::memcpy(raw.bytes, static_cast<const void*>(std::addressof(value)), sizeof(T));
            return raw;
        }
    };

    // A message by `attempt`, or nothing when the deadline came first.
    static std::optional<T> wait_for(Channel& channel,
                                     Channel::Take (*attempt)(Channel&, std::optional<T>&),
                                     os::Clock::time_point deadline) {
        std::optional<T> value;
        const auto try_once = [&] {
            channel.check_owner();
            switch (attempt(channel, value)) {
            case Channel::Take::done:
                return true;
            case Channel::Take::empty:
                return false;
            case Channel::Take::ended:
                break;
            }
            channel.throw_ended();
        };
        if (!try_once())
            wait_at(channel, Channel::Side::takers, try_once, deadline);
        return value;
    }

    static Channel::Take take_one(Channel& channel, std::optional<T>& value) {
        if constexpr (plain) {
            Raw raw;
            const Channel::Take outcome = channel.try_take(raw);
            if (outcome == Channel::Take::done)
                value.emplace(raw.value());
            return outcome;
        } else {
            Channel::Cursor claimed;
            const Channel::Take outcome = channel.begin_take(claimed);
            if (outcome != Channel::Take::done)
                return outcome;
            // Also a message that cannot be decoded is taken: else it would be in everybody's way.
            const base::ScopeGuard taken([&] { channel.commit_take(claimed); });
            value.emplace(decode_message<T>(channel, claimed));
            return outcome;
        }
    }

    static Channel::Take look(Channel& channel, std::optional<T>& value) {
        if constexpr (plain) {
            Raw raw;
            if (!channel.peek(raw))
                return channel.drained() ? Channel::Take::ended : Channel::Take::empty;
            value.emplace(raw.value());
            return Channel::Take::done;
        } else {
            Channel::Cursor claimed;
            const Channel::Take outcome = channel.begin_take(claimed);
            if (outcome != Channel::Take::done)
                return outcome;
            const base::ScopeGuard back([&] { channel.undo_take(claimed); });
            value.emplace(decode_message<T>(channel, claimed));
            return outcome;
        }
    }
};

} // namespace dshm::runtime
