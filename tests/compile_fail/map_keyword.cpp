// A keyword that pmap does not know, and one that is given twice.
// expect: dshm: this function does not know one of the keywords at the end of the call
// expect: dshm: a keyword is given twice in one call
#include <vector>

#include "dshm/pmap.hpp"

void run(const std::vector<int>& numbers) {
    const auto f = [](int i) { return i; };
#ifdef DSHM_CONTROL
    dshm::pmap(f, numbers, dshm::batch_size(3), dshm::on(2));
#else
    dshm::pmap(f, numbers, dshm::ntasks(3));
    dshm::pmap(f, numbers, dshm::batch_size(3), dshm::batch_size(4));
#endif
}
