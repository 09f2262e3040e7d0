// Whether large runs can be huge pages: tried on the last extent, since what the settings mean for a
// mapping differs between kernels.
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <string>

#include "dshm/os/pages.hpp"
#include "dshm/shm/segment.hpp"

namespace dshm::shm {

namespace {

const std::string settings = "/sys/kernel/mm/transparent_hugepage/";

// The word in brackets: "always [madvise] never".
std::string chosen(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    const auto first = line.find('['), last = line.find(']');
    return first == std::string::npos || last == std::string::npos
               ? std::string()
               : line.substr(first + 1, last - first - 1);
}

bool mounted_with_huge_pages(const std::string& directory) {
    std::ifstream mounts("/proc/self/mounts");
    bool with = false;
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream fields(line);
        std::string device, place, type, options;
        fields >> device >> place >> type >> options;
        if (place == directory) // the last mount is the one that is seen
            with = options.find("huge=") != std::string::npos &&
                   options.find("huge=never") == std::string::npos;
    }
    return with;
}

std::string why_not(SegmentKind kind) {
    const std::string mode = chosen(settings + "shmem_enabled");
    if (mode.empty())
        return "this kernel has no huge pages for shared memory";
    if (mode == "deny")
        return settings + "shmem_enabled is 'deny'; write 'advise' to it";
    if (kind == SegmentKind::named && !mounted_with_huge_pages("/dev/shm"))
        return "/dev/shm is mounted without huge pages; mount -o remount,huge=advise /dev/shm";
    if (kind == SegmentKind::anonymous && mode == "never")
        return settings + "shmem_enabled is 'never'; write 'advise' to it";
    return "there are no 2 MiB of memory in one piece; free memory, or write 1 to "
           "/proc/sys/vm/compact_memory";
}

} // namespace

std::string Segment::ask_for_huge_pages() {
    os::advise_huge_pages(base(), geometry_.capacity);
    std::byte* const last = base() + geometry_.capacity - extent_size;
    const bool huge = os::populate(last, extent_size) == 0 && os::is_huge_page(last);
    backing().give_back((geometry_.capacity - extent_size) / chunk_size, chunks_per_extent);
    header().huge_pages = huge ? 1 : 0;
    return huge ? std::string() : why_not(kind_);
}

} // namespace dshm::shm
