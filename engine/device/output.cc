#include "engine/device/output.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <span>

#include "engine/cuda/best.h"

namespace wenqu::engine::device {
namespace {

// As BestOfRow tells it.
TopLogits top_of(std::span<const cuda::Word2> told, const TopRequest& request) {
  TopLogits top;
  const int count = static_cast<int>(told[0].x);
  for (int i = 0; i < count; ++i) {
    const cuda::Word2& one = told[static_cast<size_t>(1 + i)];
    top.best.emplace_back(std::bit_cast<float>(one.x), static_cast<int32_t>(one.y));
  }
  top.all = count >= 0 && static_cast<size_t>(count) < request.count;
  top.temperature = request.temperature;
  top.total = std::bit_cast<float>(told[0].y);
  return top;
}

}  // namespace

Status Output::logits(const Workplace& w, const Batch& batch, size_t pass) {
  Scratch& s = w.scratch;
  const size_t first = batch.passes[pass], rows = batch.passes[pass + 1] - first, d = w.config.embedding;
  cuda::Input x = w.normed();
  if (!batch.all_rows()) {
    WENQU_RETURN_IF_ERROR(cuda::launch<cuda::TakeRows>(
        w.device, {as_unsigned(rows), as_unsigned((d + cuda::TakeRows::kNumbers - 1) / cuda::TakeRows::kNumbers)},
        {s.hidden, batch.tables.rows + first, s.taken, as_int(d)}));
    WENQU_RETURN_IF_ERROR(cuda::launch<cuda::RmsNorm>(w.device, {as_unsigned(rows)},
                                                {s.taken, nullptr, w.weights.output_norm, s.taken_normed, s.rounded_taken, as_int(d), w.config.rms_epsilon}));
    x = {s.taken_normed, as_int(d), s.rounded_taken.q, s.rounded_taken.scales, s.rounded_taken.stride};
  }
  WENQU_RETURN_IF_ERROR(w.multiply(w.weights.output, x, rows, batch.kind, s.logits));
  if (batch.most_best == 0) return {};
  return cuda::best_logits(w.device, s.logits, as_int(rows), as_int(w.config.vocabulary), batch.tables.wanted + first, as_int(batch.most_best), s.best_scratch,
                           s.best);
}

Status Output::give(const Workplace& w, const Batch& batch) {
  for (size_t pass = 0; pass + 1 < batch.passes.size(); ++pass) {
    if (batch.rows_at_once() == 0) WENQU_RETURN_IF_ERROR(logits(w, batch, pass));
    if (batch.most_best > 0) {
      best_.resize((batch.passes[pass + 1] - batch.passes[pass]) * (1 + batch.most_best));
      WENQU_RETURN_IF_ERROR(w.device.download(best_.data(), w.scratch.best, best_.size() * sizeof(cuda::Word2)));
    }
    WENQU_RETURN_IF_ERROR(give_pass(w, batch, pass));
  }
  return {};
}

// What the sequences want of some of the rows.
Status Output::give_pass(const Workplace& w, const Batch& batch, size_t pass) {
  Scratch& s = w.scratch;
  const size_t vocabulary = w.config.vocabulary, d = w.config.embedding, begin = batch.passes[pass], end = batch.passes[pass + 1];
  size_t row = 0;   // of batch.rows
  for (const Sequence& sequence : batch.order) {
    const size_t all = sequence.wanted == Sequence::Logits::all ? sequence.tokens.size() : sequence.wanted == Sequence::Logits::last || sequence.state ? 1 : 0;
    const size_t first = std::max(row, begin), last = std::min(row + all, end);
    row += all;
    if (first >= last) continue;
    if (sequence.state && last == row) {
      std::vector<float>& state = *sequence.state;
      state.resize(state.size() + d);
      const float* const from = (batch.all_rows() ? s.normed : s.taken_normed) + (last - 1 - begin) * d;
      WENQU_RETURN_IF_ERROR(w.device.download(state.data() + state.size() - d, from, d * sizeof(float)));
    }
    if (sequence.wanted == Sequence::Logits::none) continue;
    if (takes_best(sequence)) {
      std::vector<TopLogits> best;
      for (size_t r = first; r < last; ++r) {
        best.push_back(top_of(std::span(best_).subspan((r - begin) * (1 + batch.most_best), 1 + batch.most_best), *sequence.request));
        if (!sequence.request->enough(best.back())) break;
      }
      if (best.size() == all && sequence.request->enough(best.back())) {
        std::move(best.begin(), best.end(), std::back_inserter(*sequence.top));
        continue;
      }
    }
    std::vector<float>& logits = *sequence.logits;
    const size_t before = logits.size();
    logits.resize(before + (last - first) * vocabulary);
    WENQU_RETURN_IF_ERROR(w.device.download(logits.data() + before, s.logits + (first - begin) * vocabulary, (last - first) * vocabulary * sizeof(float)));
  }
  return {};
}

}  // namespace wenqu::engine::device
