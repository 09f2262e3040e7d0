// Recovery of a segment that a process has written over: whatever lies there, the launcher goes on.
//
// The bytes of an input say what is damaged and how (tests/support/damaged_session.hpp); run_fuzz.py
// compiles and runs it.
#include <cstdint>
#include <cstdio>

#include "damaged_session.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    // Never destroyed: what is left of a damaged session is no place for destructors.
    static auto& session = *[] {
        stderr = std::fopen("/dev/null", "we"); // failures that nobody asks about are said there
        return new dshm::test::DamagedSession;
    }();
    session.round(dshm::test::BytesChoice(data, size));
    return 0;
}
