// What every operation computes with: the kernels of this processor, the threads, and the request's
// cancellation, looked at before each piece of work so that even one large matrix product ends soon.
// After a cancellation results are undefined; callers look at the token between operations.
#pragma once

#include "base/cancel.h"
#include "engine/cpu/kernels.h"
#include "engine/cpu/thread_pool.h"

namespace wenqu::engine::ops {

struct Compute {
  const cpu::Kernels& kernels;
  cpu::ThreadPool& pool;
  const CancelToken& cancel;

  // body(begin, end) over [0, count) in pieces of `grain`.
  template <typename Body>
  void parallel(size_t count, size_t grain, const Body& body) const {
    pool.run(count, grain, [&](size_t begin, size_t end) {
      if (!cancel.cancelled()) body(begin, end);
    });
  }
};

}  // namespace wenqu::engine::ops
