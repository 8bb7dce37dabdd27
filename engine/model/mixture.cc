#include "engine/model/mixture.h"

#include <algorithm>
#include <utility>

namespace wenqu::engine {
namespace {

constexpr size_t kDownRows = 32;

}  // namespace

RoutedExperts::RoutedExperts(const ops::Compute& compute, const Config& config, const Layer& layer, ExpertResidency* residency,
                             std::span<const ops::ExpertChoice> choices)
    : compute_(compute), config_(config), layer_(layer), choices_(choices), members_(config.moe.router.experts) {
  for (size_t place = 0; place < choices.size(); ++place)
    if (choices[place].expert != ops::kNoExpert) members_[choices[place].expert].push_back(static_cast<uint32_t>(place));
  for (uint32_t e = 0; e < members_.size(); ++e)
    if (!members_[e].empty()) active_.push_back(e);
  if (residency) lease_ = residency->want(layer.mixture, active_, members_, choices.size() / config.moe.router.used);
}

Status RoutedExperts::add(const ops::Inputs& x, float* delta) {
  const MoeConfig& moe = config_.moe;
  const size_t used = moe.router.used, width = moe.width, d = config_.embedding, tokens = choices_.size() / used;
  // Stage one: the hidden rows of each choice, rounded where they are made, before memory sees them.
  const size_t unit = ops::rounding_unit(layer_.expert_down);
  ops::Floats hidden(unit > 0 ? 0 : choices_.size() * width);   // where nothing is rounded
  ops::Inputs rounded(unit > 0 ? choices_.size() : 0, width, {&layer_.expert_down});
  std::vector<std::vector<cpu::InputRow>> inputs(active_.size());
  for (size_t a = 0; a < active_.size(); ++a)
    for (uint32_t place : members_[active_[a]]) inputs[a].push_back(x.rows()[place / used]);
  size_t rows = ops::rows_per_piece(compute_, layer_.expert_gate, choices_.size() / moe.router.experts);
  if (unit > 0) rows = (rows + unit - 1) / unit * unit;
  const size_t pieces = (width + rows - 1) / rows;
  compute_.parallel(active_.size() * pieces, 1, [&](size_t begin, size_t end) {
    thread_local ops::Floats gate, up;
    for (size_t i = begin; i < end; ++i) {
      const size_t a = i / pieces, from = i % pieces * rows, to = std::min(from + rows, width);
      const std::span<const uint32_t> places = members_[active_[a]];
      gate.resize(places.size() * rows);
      up.resize(places.size() * rows);
      const std::vector<float*> gates = ops::row_pointers(gate.data(), places.size(), rows), ups = ops::row_pointers(up.data(), places.size(), rows);
      lease_.wait_for(a, compute_.cancel);
      ops::matmul_rows(compute_, layer_.expert_gate, active_[a], from, to, inputs[a], gates, 0);
      ops::matmul_rows(compute_, layer_.expert_up, active_[a], from, to, inputs[a], ups, 0);
      for (size_t k = 0; k < places.size(); ++k) {
        compute_.kernels.silu_multiply(gates[k], ups[k], gates[k], to - from);
        if (unit > 0)
          rounded.round(compute_, places[k], from, to - from, gates[k]);
        else
          std::copy_n(gates[k], to - from, hidden.data() + places[k] * width + from);
      }
    }
  });
  WENQU_RETURN_IF_ERROR(compute_.cancel.status());

  lease_.wait_for_all(compute_.cancel);
  // Stage two: down, and the weighted sum. A piece owns its rows of every token.
  const ops::Inputs h = unit > 0 ? std::move(rounded) : ops::Inputs(compute_, hidden.data(), choices_.size(), width, width, {&layer_.expert_down});
  for (size_t a = 0; a < active_.size(); ++a)
    std::transform(members_[active_[a]].begin(), members_[active_[a]].end(), inputs[a].begin(), [&](uint32_t place) { return h.rows()[place]; });
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
        for (size_t k = t * used; k < (t + 1) * used; ++k)
          if (choices_[k].expert != ops::kNoExpert) sum += choices_[k].weight * out[k * kDownRows + r];
        delta[t * d + begin + r] += sum;
      }
  });
  return compute_.cancel.status();
}

}  // namespace wenqu::engine
