#include "engine/model/mixture.h"

#include <algorithm>

namespace wenqu::engine {
namespace {

constexpr size_t kDownRows = 32;

}  // namespace

RoutedExperts::RoutedExperts(const ops::Compute& compute, const Config& config, const Layer& layer, ExpertResidency* residency,
                             std::span<const ops::ExpertChoice> choices)
    : compute_(compute), config_(config), layer_(layer), choices_(choices), members_(config.moe.router.experts) {
  for (size_t place = 0; place < choices.size(); ++place) members_[choices[place].expert].push_back(static_cast<uint32_t>(place));
  for (uint32_t e = 0; e < members_.size(); ++e)
    if (!members_[e].empty()) active_.push_back(e);
  if (residency) lease_ = residency->want(layer.mixture, active_, members_, choices.size() / config.moe.router.used);
}

Status RoutedExperts::add(const ops::Inputs& x, ops::Floats& gate, ops::Floats& up, float* delta) {
  const MoeConfig& moe = config_.moe;
  const size_t used = moe.router.used, width = moe.width, d = config_.embedding, tokens = choices_.size() / used;
  // Stage one: the hidden rows of each choice.
  struct Work {
    std::vector<cpu::InputRow> inputs;
    std::vector<float*> gates, ups;
  };
  gate.resize(tokens * used * width);
  up.resize(tokens * used * width);
  std::vector<Work> work;
  for (uint32_t e : active_) {
    Work& w = work.emplace_back();
    for (uint32_t place : members_[e]) {
      w.inputs.push_back(x.rows()[place / used]);
      w.gates.push_back(gate.data() + place * width);
      w.ups.push_back(up.data() + place * width);
    }
  }
  const size_t rows = ops::rows_per_piece(compute_, layer_.expert_gate, tokens * used / moe.router.experts), pieces = (width + rows - 1) / rows;
  compute_.parallel(active_.size() * pieces, 1, [&](size_t begin, size_t end) {
    for (size_t i = begin; i < end; ++i) {
      const Work& w = work[i / pieces];
      const size_t from = i % pieces * rows, to = std::min(from + rows, width);
      lease_.wait_for(i / pieces, compute_.cancel);
      ops::matmul_rows(compute_, layer_.expert_gate, active_[i / pieces], from, to, w.inputs, w.gates, from);
      ops::matmul_rows(compute_, layer_.expert_up, active_[i / pieces], from, to, w.inputs, w.ups, from);
      for (size_t k = 0; k < w.gates.size(); ++k)
        compute_.kernels.silu_multiply(w.gates[k] + from, w.ups[k] + from, w.gates[k] + from, to - from);
    }
  });
  WENQU_RETURN_IF_ERROR(compute_.cancel.status());

  lease_.wait_for_all(compute_.cancel);
  // Stage two: down, and the weighted sum. A piece owns its rows of every token.
  const ops::Inputs h(compute_, gate.data(), tokens * used, width, width, {&layer_.expert_down});
  std::vector<std::vector<cpu::InputRow>> inputs(active_.size());
  for (size_t a = 0; a < active_.size(); ++a)
    for (uint32_t place : members_[active_[a]]) inputs[a].push_back(h.rows()[place]);
  compute_.parallel(d, kDownRows, [&](size_t begin, size_t end) {
    thread_local ops::Floats out;
    out.resize(tokens * used * kDownRows);
    std::vector<float*> outs;
    for (size_t a = 0; a < active_.size(); ++a) {
      outs.clear();
      for (uint32_t place : members_[active_[a]]) outs.push_back(out.data() + place * kDownRows);
      ops::matmul_rows(compute_, layer_.expert_down, active_[a], begin, end, inputs[a], outs, 0);
    }
    for (size_t t = 0; t < tokens; ++t)
      for (size_t r = 0; r < end - begin; ++r) {
        float sum = 0;
        for (size_t k = t * used; k < (t + 1) * used; ++k) sum += choices_[k].weight * out[k * kDownRows + r];
        delta[t * d + begin + r] += sum;
      }
  });
  return compute_.cancel.status();
}

}  // namespace wenqu::engine
