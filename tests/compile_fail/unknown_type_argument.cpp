// A type that nobody told how to write.
// expect: dshm: this type cannot be sent to another process
// expect: give it a member template <class Archive> void serialize(Archive&)
#include <functional>
#include <string>

#include "dshm/ship/codec.hpp"

struct Job {
    std::string name;
    std::function<void()> run;

#ifdef DSHM_CONTROL
    template <class Archive>
    void serialize(Archive& archive) {
        archive(name);
    }
#endif
};

dshm::ship::Footprint size_of(const Job& job) { return dshm::ship::footprint(job); }
