// Locks on bytes of a file that the kernel drops when their holders die.
//
// Two kinds. A process lock belongs to one process. An open-file lock (OFD) belongs to an open file
// description, which children inherit: it lives until the last of them is gone.
#pragma once

namespace dshm::os {

// Both throw std::system_error when the lock is held by somebody else or cannot be had.
void lock_byte_for_process(int file, long byte);
void share_byte_for_open_file(int file, long byte);

// Locks a byte against other processes until the process ends or `unlock_byte_for_process`; waits
// for it. The kernel lets go of it with the process.
void wait_for_byte_for_process(int file, long byte);
void unlock_byte_for_process(int file, long byte) noexcept;

// The process that keeps others from locking a byte: 0 when there is none, -1 when it cannot be told (an
// open-file lock, or a process in a namespace that is not seen from here).
int holder_of_byte(int file, long byte) noexcept;

// Locks bytes [first, first + count) against everybody else. False when somebody holds one of them.
bool try_lock_bytes_for_open_file(int file, long first, long count);

} // namespace dshm::os
