// What sequences want of a batch whose layers a device has computed: logits, the best of these, states.
#pragma once

#include <vector>

#include "engine/device/batch.h"
#include "engine/device/workplace.h"

namespace wenqu::engine::device {

class Output {
 public:
  // The logits of the rows of one pass, and the best of these, in the scratch.
  static Status logits(const Workplace& w, const Batch& batch, size_t pass);
  // Gives the sequences their logits and states. Where the batch's rows are computed at once, logits() has been called.
  Status give(const Workplace& w, const Batch& batch);

 private:
  Status give_pass(const Workplace& w, const Batch& batch, size_t pass);

  std::vector<cuda::Word2> best_;   // [rows][1 + most_best], on the host
};

}  // namespace wenqu::engine::device
