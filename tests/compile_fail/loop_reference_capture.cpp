// The body of a loop, or the function of a map, that captures by reference.
// expect: dshm: this callable cannot be sent to another process, because it captures something by reference
// expect: pass that value as an argument of the call or put it into a SharedArray, or write dshm::trust(f)
#include <vector>

#include "dshm/dshm.hpp"

void run(const std::vector<int>& numbers) {
    int count = 0;
#ifdef DSHM_CONTROL
    auto body = [count](int i) { return count + i; };
#else
    auto body = [&count](int i) { return count + i; };
#endif
    dshm::distributed(dshm::range(0, 10), body);
    dshm::distributed([](int a, int b) { return a + b; }, dshm::range(0, 10), body);
    dshm::pmap(body, numbers);
}
