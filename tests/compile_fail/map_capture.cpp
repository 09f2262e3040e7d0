// A closure that captures a container which is not even laid out like C.
// expect: dshm: this callable cannot be sent to another process, because it captures something by reference, or holds by copy a value that is not standard-layout (such as a std::map
// expect: pass that value as an argument of the call or put it into a SharedArray, or write dshm::trust(f)
#include <map>

#include "dshm/dshm.hpp"

void send(const std::map<int, int>& table) {
#ifdef DSHM_CONTROL
    dshm::spawn([](const std::map<int, int>& argument) { return argument.size(); }, table);
#else
    dshm::spawn([table] { return table.size(); });
#endif
}
