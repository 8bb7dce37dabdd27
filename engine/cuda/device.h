// One GPU, or what stands for one in a test: memory, and kernels launched by their number in kernel_list.h, all
// in the order they were asked for. The CUDA toolkit is used behind this interface only, by the module that
// module.h loads when a driver is there.
//
// Thread safety: one thread at a time, but for allocate() and release(). A Device outlives what was allocated on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/status.h"

namespace wenqu::engine::cuda {

struct DeviceInfo {
  std::string name;
  int compute_capability = 0;    // 90 for 9.0
  int multiprocessors = 0;
  size_t memory_bytes = 0;
  size_t shared_bytes = 0;       // that a block may use
  bool warpgroups = false;       // multiplies tiles as machine.h says (Hopper), and was seen to
  std::string no_warpgroups;     // why it does not, where it is one that could
  int driver_version = 0, runtime_version = 0;   // 13000 for 13.0
};

struct Grid {
  unsigned x = 1, y = 1, z = 1;
};

struct Launch {
  int kernel = 0;
  Grid grid;
  unsigned threads = 0;          // of a block
  size_t shared_bytes = 0;
  const void* arguments = nullptr;
  size_t argument_bytes = 0;
};

class Device {
 public:
  // A sequence of launches that was recorded, to be launched again at once.
  class Graph {
   public:
    virtual ~Graph() = default;
  };

  virtual ~Device() = default;
  virtual const DeviceInfo& info() const = 0;
  virtual size_t free_bytes() const = 0;

  // Aligned to 256 bytes. Errors: out_of_memory, with what is left.
  virtual Result<void*> allocate(size_t bytes) = 0;
  virtual void release(void* memory) noexcept = 0;

  // `from` may be changed as soon as upload() is back.
  virtual Status upload(void* to, const void* from, size_t bytes) = 0;
  virtual Status copy(void* to, const void* from, size_t bytes) = 0;   // within the device
  virtual Status clear(void* memory, size_t bytes) = 0;                // to zeros
  // From another device of the same kind, behind what that one was asked for before.
  virtual Status receive(void* to, Device& from, const void* there, size_t bytes) = 0;
  // Waits for what was asked for before. So does synchronize().
  virtual Status download(void* to, const void* from, size_t bytes) = 0;
  virtual Status synchronize() = 0;

  // Errors: internal, for a launch that the device refuses. What goes wrong while a kernel runs is told by the next
  // call that waits.
  virtual Status launch(const Launch& launch) = 0;

  // What is launched and copied within the device between the two is recorded, not run.
  virtual Status begin_recording() = 0;
  virtual Result<Graph*> end_recording() = 0;   // the caller's, to be given back by discard()
  virtual Status replay(Graph& graph) = 0;
  virtual void discard(Graph* graph) noexcept = 0;
};

}  // namespace wenqu::engine::cuda
