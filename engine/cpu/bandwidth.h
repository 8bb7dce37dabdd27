// How fast this machine's memory can be read: what a decoded token, which reads all weights it uses once, is held
// against.
#pragma once

#include "engine/cpu/thread_pool.h"

namespace wenqu::engine::cpu {

// Bytes per second that the pool's threads read of a buffer far larger than the caches, the best of a few passes;
// takes well below a second. 0: there is no memory for the buffer.
double read_bandwidth(ThreadPool& pool);

}  // namespace wenqu::engine::cpu
