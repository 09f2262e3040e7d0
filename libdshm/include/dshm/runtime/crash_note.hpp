// What a process that crashes leaves behind: where it was, in its own area.
//
// Written by the handler of the signal, in the thread that got it, with nothing but stores: malloc,
// stdio and the loader may be in the middle of something. The name of a function takes a look into a
// file, and is added when all the rest is there; the launcher makes names readable. The key is stored
// when signal and task are there, the size whenever the text is whole: whoever dies in between leaves
// less, and nothing that is wrong. Read by the launcher when the process has gone.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "dshm/shm/word.hpp"

namespace dshm::runtime {

class Process;
struct ProcessArea;

//   0     8        12     16        24       28     32            48          304    8192
//   | key | signal | code | address | thread | size | thread name | task name | text |
struct CrashNote {
    shm::Word64 key; // worker id, or 0
    std::int32_t number;
    std::int32_t code;
    std::uint64_t address;
    std::uint32_t thread;
    shm::Word32 size;                 // of the text
    std::array<char, 16> thread_name; // empty for the thread that runs tasks
    std::array<char, 256> task;       // up to a zero byte; empty in other threads
    std::array<char, 7888> text;      // a call each line, as os::Backtrace writes it
};
static_assert(sizeof(CrashNote) == 8192 && offsetof(CrashNote, size) == 28 &&
                  offsetof(CrashNote, task) == 48 && offsetof(CrashNote, text) == 304,
              "as drawn");

// From now on a crash of this process is written into its area. Called by the thread that runs tasks,
// once; the area stays mapped until the process ends. Where somebody else handles a signal already,
// that one is left to it.
void note_crashes(const Process& process);

// What a note says, for people; for anything else than a note of this worker empty texts. Names are
// demangled, and calls below the task's function left out.
struct CrashText {
    std::string task; // its name
    std::string
        where; // "address 0x10, where nothing is mapped"; empty where there is nothing to say
    std::string calls; // a line each, the innermost first
};
CrashText read_crash(const ProcessArea& area, int worker);

} // namespace dshm::runtime
