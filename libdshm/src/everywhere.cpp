#include "dshm/everywhere.hpp"

namespace dshm {

void detail::make_everywhere(runtime::TaskRef call) {
    everywhere(
        procs(),
        [](std::uint32_t index, std::uint32_t generation) {
            runtime::current().replays().make({index, generation});
        },
        call.index, call.generation);
}

} // namespace dshm
