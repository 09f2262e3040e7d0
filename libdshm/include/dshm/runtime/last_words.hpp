// What is known of a death beyond its cause: where it was, its calls, what it printed last. For the
// last 32 deaths of which there is something; those before leave their causes alone.
//
// Written by the launcher, in turn, into pages that are there from the beginning: nothing is
// allocated. Whoever reads while it is written over, or after the launcher died over it, gets nothing.
#pragma once

#include <string>
#include <string_view>

#include "dshm/runtime/process_table.hpp"

namespace dshm::runtime {

// `turn` counts the deaths that have been written. A text that is too long loses its end.
void write_last_words(const ProcessTable& table, std::size_t turn, WorkerId id,
                      std::string_view text);

// Empty where there are none. O(last_words_slots).
std::string last_words_of(const ProcessTable& table, WorkerId id);

} // namespace dshm::runtime
