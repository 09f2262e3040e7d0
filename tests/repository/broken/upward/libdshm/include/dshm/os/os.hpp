// Breaks the layer rule: os lies below runtime.
#include <dshm/runtime/task_table.hpp>
