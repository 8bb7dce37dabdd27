// What a forward pass costs: the operations of its matrix products and the bytes of weights it reads.
#pragma once

#include <cstddef>

#include "engine/model/config.h"
#include "engine/model/weights.h"

namespace wenqu::engine {

struct Work {
  double operations = 0;   // two for each parameter and token: a product and a sum
  double bytes = 0;
};

// Of one batch of `tokens`, of which `logits` are given logits. The products of queries with keys and of scores with
// values are left out, as they depend on the context. Every token computes with the experts it is given; which ones the
// batch reads is unknown, and taken to be as many as tokens choose that have no preference.
Work work_of_batch(const Config& config, const Weights& weights, size_t tokens, size_t logits);

}  // namespace wenqu::engine
