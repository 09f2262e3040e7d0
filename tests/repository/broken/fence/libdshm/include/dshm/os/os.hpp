// Breaks a fence: Boost.Interprocess belongs to shm.
#include <boost/interprocess/offset_ptr.hpp>
