#include "dshm/launch/handover.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <stdexcept>

namespace dshm::launch {

namespace {

constexpr std::uint64_t version = 1;
constexpr std::size_t number_count = 11;

using Numbers = std::array<std::uint64_t, number_count>;

[[noreturn]] void refuse(std::string_view text) {
    throw std::invalid_argument(std::string(handover_variable) + "='" + std::string(text) +
                                "' was not written by a launcher of this version; it is set for "
                                "workers alone, unset it");
}

Numbers numbers_in(std::string_view text) {
    Numbers numbers{};
    const char* next = text.data();
    const char* const end = next + text.size();
    for (std::size_t i = 0; i < number_count; ++i) {
        if (i > 0 && (next == end || *next++ != ' '))
            refuse(text);
        const auto [after, error] = std::from_chars(next, end, numbers[i]);
        if (error != std::errc())
            refuse(text);
        next = after;
    }
    if (next != end)
        refuse(text);
    return numbers;
}

} // namespace

std::string Handover::text() const {
    const auto number = [](auto value) { return static_cast<std::uint64_t>(value); };
    std::string text = std::to_string(version);
    for (const std::uint64_t value :
         {number(id), number(owner.slot), number(owner.incarnation), number(launcher),
          number(segment), number(launcher_bell), number(output_read), number(errors_read),
          memory_limit, number(threaded_blas)})
        text += " " + std::to_string(value);
    return text;
}

Handover Handover::parse(std::string_view text) {
    const Numbers numbers = numbers_in(text);
    constexpr std::uint64_t most = std::numeric_limits<int>::max();
    for (std::size_t i = 1; i < 9; ++i)
        if (numbers[i] > most)
            refuse(text);
    const bool slot_exists =
        numbers[2] >= shm::first_worker_slot && numbers[2] < shm::max_processes;
    if (numbers[0] != version || numbers[1] < 2 || !slot_exists || numbers[3] == 0 ||
        numbers[3] > 0xffff || numbers[10] > 1)
        refuse(text);
    const auto integer = [&](std::size_t i) { return static_cast<int>(numbers[i]); };
    Handover handover;
    handover.id = integer(1);
    handover.owner = {static_cast<std::uint8_t>(numbers[2]),
                      static_cast<std::uint16_t>(numbers[3])};
    handover.launcher = integer(4);
    handover.segment = integer(5);
    handover.launcher_bell = integer(6);
    handover.output_read = integer(7);
    handover.errors_read = integer(8);
    handover.memory_limit = numbers[9];
    handover.threaded_blas = numbers[10] != 0;
    return handover;
}

} // namespace dshm::launch
