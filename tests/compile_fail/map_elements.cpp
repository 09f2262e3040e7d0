// A map of a function that does not take such elements, and a handler that gives no value.
// expect: dshm: this callable cannot be called with the elements of these collections
// expect: dshm: on_error: the handler gives the value of an element that has failed
#include <exception>
#include <string>
#include <vector>

#include "dshm/pmap.hpp"

void run(const std::vector<int>& numbers, const std::vector<std::string>& texts) {
    const auto add = [](int a, int b) { return a + b; };
#ifdef DSHM_CONTROL
    dshm::pmap(add, numbers, numbers);
    dshm::pmap(add, numbers, numbers, dshm::on_error([](const std::exception&) { return 0; }));
#else
    dshm::pmap(add, numbers, texts);
    dshm::pmap(add, numbers, numbers, dshm::on_error([](const std::exception&) {}));
#endif
}
