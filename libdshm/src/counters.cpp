#include "dshm/counters.hpp"

#include "dshm/runtime/process.hpp"

namespace dshm {

namespace {

void add_heap(Counters& sum, const shm::HeapStatistics& heap) {
    sum.heap_blocks = heap.blocks_in_use;
    sum.heap_used = heap.used_small + heap.used_large;
    sum.heap_warm = heap.warm;
    sum.heap_free = heap.free_small + heap.free_chunks;
    sum.heap_capacity = heap.capacity;
    sum.memory_backed = heap.backed;
}

} // namespace

Counters counters() {
    using runtime::Count;
    runtime::Process& process = runtime::current();
    Counters sum;
    const auto add = [&sum](runtime::ProcessArea& area) {
        const runtime::CounterRow row(area);
        sum.tasks_spawned += row.get(Count::spawned);
        sum.tasks_done += row.get(Count::done);
        sum.tasks_failed += row.get(Count::failed);
        sum.tasks_stolen += row.get(Count::stolen);
        sum.bytes_sent += row.get(Count::bytes_sent);
        sum.bytes_returned += row.get(Count::bytes_returned);
    };
    add(process.processes().area(shm::launcher_slot)); // counts of the dead
    for (const auto& member : process.members())
        add(process.processes().area(member.owner.slot));
    sum.bytes_moved = sum.bytes_sent + sum.bytes_returned;
    sum.objects = process.objects().live_count();
    add_heap(sum, process.heap().statistics());
    return sum;
}

Counters operator-(const Counters& later, const Counters& earlier) {
    Counters difference = later;
    difference.tasks_spawned = later.tasks_spawned - earlier.tasks_spawned;
    difference.tasks_done = later.tasks_done - earlier.tasks_done;
    difference.tasks_failed = later.tasks_failed - earlier.tasks_failed;
    difference.tasks_stolen = later.tasks_stolen - earlier.tasks_stolen;
    difference.bytes_sent = later.bytes_sent - earlier.bytes_sent;
    difference.bytes_returned = later.bytes_returned - earlier.bytes_returned;
    difference.bytes_moved = later.bytes_moved - earlier.bytes_moved;
    return difference;
}

} // namespace dshm
