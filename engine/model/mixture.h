// The routed experts of one layer on the CPU: tokens are gathered by expert, so that each expert's weights are read once
// for the batch.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/model/config.h"
#include "engine/model/weights.h"
#include "engine/ops/compute.h"
#include "engine/ops/matmul.h"
#include "engine/ops/router.h"
#include "engine/residency/expert_residency.h"

namespace wenqu::engine {

class RoutedExperts {
 public:
  // Takes note of who is chosen, so that experts that are not in memory are on their way while others compute.
  // choices: [tokens][config.moe.router.used], of ops::kNoExpert those that somebody else computes; they must outlive add(), as
  // must what was given here.
  RoutedExperts(const ops::Compute& compute, const Config& config, const Layer& layer, ExpertResidency* residency,
                std::span<const ops::ExpertChoice> choices);

  // delta: [tokens][embedding] += the weighted sum of each token's experts, in the order of choice, so that it does not
  // depend on which tokens share the batch. `x` holds the tokens' rows in the forms that the experts read.
  // Errors: cancelled, deadline_exceeded.
  Status add(const ops::Inputs& x, float* delta);

 private:
  const ops::Compute& compute_;
  const Config& config_;
  const Layer& layer_;
  const std::span<const ops::ExpertChoice> choices_;
  std::vector<std::vector<uint32_t>> members_;   // places in the choices, by expert
  std::vector<uint32_t> active_;                 // experts that have any
  ExpertResidency::Lease lease_;
};

}  // namespace wenqu::engine
