// Threads of the library.
#pragma once

namespace unrolled {

/// Most threads a call may use. Starts as the least of: processors this process may run on, the cgroup's CPU quota,
/// OMP_NUM_THREADS.
int get_num_threads();
/// At least 1; results never depend on it.
void set_num_threads(int count);

}  // namespace unrolled
