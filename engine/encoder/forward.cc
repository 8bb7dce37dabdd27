#include "engine/encoder/forward.h"

#include <algorithm>
#include <cmath>

#include "engine/cache/kv_cache.h"
#include "engine/ops/attention.h"
#include "engine/ops/gelu.h"
#include "engine/ops/layer_norm.h"

namespace wenqu::engine {
namespace {

using ops::Floats;
using ops::Inputs;
using ops::row_pointers;

// One batch on its way through the encoder.
class Pass {
 public:
  Pass(const ops::Compute& compute, const EncoderConfig& config, const EncoderWeights& weights,
       std::span<const EncoderText> texts, Floats& states)
      : compute_(compute), config_(config), weights_(weights), texts_(texts), d_(config.embedding), states_(states) {
    for (const EncoderText& text : texts) {
      firsts_.push_back(tokens_);
      tokens_ += text.tokens.size();
      caches_.emplace_back(KvShape{1, config.heads, config.head, config.head, KvType::f32});
    }
  }

  Status run() {
    for (size_t i = 0; i < texts_.size(); ++i) WENQU_RETURN_IF_ERROR(caches_[i].resize(texts_[i].tokens.size()));
    states_.resize(tokens_ * d_);
    embed();
    for (const EncoderLayer& layer : weights_.layers) {
      WENQU_RETURN_IF_ERROR(attention(layer));
      add_and_norm(layer.attention_output.bias, layer.attention_norm);
      WENQU_RETURN_IF_ERROR(feed_forward(layer));
      add_and_norm(layer.down.bias, layer.output_norm);
    }
    return compute_.cancel.status();
  }

 private:
  template <typename Body>
  void by_token(const Body& body) const {
    compute_.parallel(tokens_, 8, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t) body(t);
    });
  }
  size_t text_of(size_t token) const {
    return static_cast<size_t>(std::upper_bound(firsts_.begin(), firsts_.end(), token) - firsts_.begin()) - 1;
  }
  float* state(size_t t) { return states_.data() + t * d_; }

  static void add_bias(const std::vector<float>& bias, float* row) {
    for (size_t i = 0; i < bias.size(); ++i) row[i] += bias[i];
  }

  void embed() {
    by_token([&](size_t t) {
      const size_t text = text_of(t), position = t - firsts_[text];
      thread_local std::vector<float> row;
      row.resize(d_);
      const auto add = [&](const ops::Matrix& matrix, size_t index) {
        cpu::dequantize_row(matrix.type, matrix.row(0, index), d_, row.data());
        for (size_t i = 0; i < d_; ++i) state(t)[i] += row[i];
      };
      std::fill_n(state(t), d_, 0.0f);
      add(weights_.token_embedding, static_cast<size_t>(texts_[text].tokens[position]));
      if (config_.token_types > 0) add(weights_.type_embedding, position >= texts_[text].second && config_.token_types > 1 ? 1 : 0);
      add(weights_.position_embedding, position);
      norm(weights_.embedding_norm, t);
    });
  }

  void norm(const Norm& norm, size_t t) {
    ops::layer_norm(state(t), norm.weight.data(), norm.bias.data(), config_.epsilon, d_, state(t));
  }
  void add_and_norm(const std::vector<float>& bias, const Norm& weights) {
    by_token([&](size_t t) {
      float* row = state(t);
      for (size_t i = 0; i < d_; ++i) row[i] += delta_[t * d_ + i];
      add_bias(bias, row);
      norm(weights, t);
    });
  }

  Status project(const Affine& affine, const Inputs& inputs, Floats& out) {
    out.resize(tokens_ * affine.matrix.outputs);
    ops::matmul(compute_, affine.matrix, 0, inputs.rows(), row_pointers(out.data(), tokens_, affine.matrix.outputs));
    return compute_.cancel.status();
  }

  Status attention(const EncoderLayer& layer) {
    const Inputs x(compute_, states_.data(), tokens_, d_, d_, {&layer.q.matrix, &layer.k.matrix, &layer.v.matrix});
    WENQU_RETURN_IF_ERROR(project(layer.q, x, queries_));
    WENQU_RETURN_IF_ERROR(project(layer.k, x, keys_));
    WENQU_RETURN_IF_ERROR(project(layer.v, x, values_));
    const size_t head = config_.head;
    by_token([&](size_t t) {
      add_bias(layer.q.bias, queries_.data() + t * d_);
      add_bias(layer.k.bias, keys_.data() + t * d_);
      add_bias(layer.v.bias, values_.data() + t * d_);
      const size_t text = text_of(t);
      for (size_t h = 0; h < config_.heads; ++h)
        caches_[text].put(0, h, t - firsts_[text], keys_.data() + t * d_ + h * head, values_.data() + t * d_ + h * head);
    });
    attended_.resize(tokens_ * d_);
    attend();
    WENQU_RETURN_IF_ERROR(compute_.cancel.status());
    const Inputs attended(compute_, attended_.data(), tokens_, d_, d_, {&layer.attention_output.matrix});
    return project(layer.attention_output, attended, delta_);
  }

  // Some queries of one head of one text are a piece of work.
  void attend() {
    constexpr size_t kTogether = 32;
    struct Piece {
      size_t text, head, first, end;
    };
    std::vector<Piece> pieces;
    for (size_t text = 0; text < texts_.size(); ++text)
      for (size_t h = 0; h < config_.heads; ++h)
        for (size_t first = 0; first < texts_[text].tokens.size(); first += kTogether)
          pieces.push_back({text, h, first, std::min(first + kTogether, texts_[text].tokens.size())});
    const ops::AttentionShape shape{.key = config_.head, .value = config_.head, .scale = 1 / std::sqrt(static_cast<float>(config_.head))};
    compute_.parallel(pieces.size(), 1, [&](size_t begin, size_t end) {
      for (const Piece& piece : std::span(pieces).subspan(begin, end - begin)) {
        std::vector<ops::AttentionQuery> mine;
        for (size_t i = piece.first; i < piece.end; ++i) {
          const size_t place = (firsts_[piece.text] + i) * d_ + piece.head * config_.head;
          mine.push_back({queries_.data() + place, texts_[piece.text].tokens.size(), attended_.data() + place});
        }
        ops::attend(compute_.kernels, caches_[piece.text], 0, piece.head, false, shape, mine);
      }
    });
  }

  Status feed_forward(const EncoderLayer& layer) {
    const Inputs x(compute_, states_.data(), tokens_, d_, d_, {&layer.up.matrix});
    WENQU_RETURN_IF_ERROR(project(layer.up, x, up_));
    const size_t width = layer.up.matrix.outputs;
    by_token([&](size_t t) {
      add_bias(layer.up.bias, up_.data() + t * width);
      ops::gelu(up_.data() + t * width, width);
    });
    const Inputs h(compute_, up_.data(), tokens_, width, width, {&layer.down.matrix});
    return project(layer.down, h, delta_);
  }

  const ops::Compute& compute_;
  const EncoderConfig& config_;
  const EncoderWeights& weights_;
  const std::span<const EncoderText> texts_;
  const size_t d_;
  size_t tokens_ = 0;
  std::vector<size_t> firsts_;      // of each text, among the batch's tokens
  std::vector<KvCache> caches_;     // one layer's keys and values of each text
  Floats& states_;                  // [tokens][embedding]
  Floats queries_, keys_, values_, attended_, delta_, up_;
};

}  // namespace

Status encode(const ops::Compute& compute, const EncoderConfig& config, const EncoderWeights& weights,
              std::span<const EncoderText> texts, Floats& states) {
  return Pass(compute, config, weights, texts, states).run();
}

Result<std::vector<float>> classify(const ops::Compute& compute, const ClassificationHead& head, std::span<const float> state) {
  std::vector<float> x(state.begin(), state.end());
  const auto apply = [&](const Affine& affine) {
    const Inputs inputs(compute, x.data(), 1, x.size(), x.size(), {&affine.matrix});
    std::vector<float> out(affine.matrix.outputs);
    ops::matmul(compute, affine.matrix, 0, inputs.rows(), row_pointers(out.data(), 1, out.size()));
    for (size_t i = 0; i < affine.bias.size(); ++i) out[i] += affine.bias[i];
    x = std::move(out);
    return compute.cancel.status();
  };
  if (head.dense) {
    WENQU_RETURN_IF_ERROR(apply(head.dense));
    for (float& value : x) value = std::tanh(value);
  }
  WENQU_RETURN_IF_ERROR(apply(head.output));
  return x;
}

}  // namespace wenqu::engine
