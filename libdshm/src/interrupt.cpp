#include "dshm/interrupt.hpp"

#include "dshm/errors.hpp"
#include "dshm/everywhere.hpp"
#include "dshm/runtime/scheduler.hpp"

namespace dshm {

bool stop_requested() noexcept { return runtime::stop_requested(); }

void interrupt(const std::vector<WorkerId>& ids) {
    runtime::Process& process = runtime::current();
    detail::check_ids(ids);
    for (const WorkerId id : ids) {
        const auto slot = process.processes().slot_of(id);
        if (!slot)
            continue; // has ended
        runtime::ProcessArea& area = process.processes().area(*slot);
        area.interrupts.fetch_add(1, std::memory_order_seq_cst); // edge `park`
        area.bell.ring();
    }
}

void interrupt(WorkerId id) { interrupt(std::vector{id}); }

} // namespace dshm
