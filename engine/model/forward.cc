#include "engine/model/forward.h"

#include <algorithm>
#include <utility>

#include "engine/model/mixture.h"
#include "engine/ops/attention.h"
#include "engine/ops/numbers.h"
#include "engine/ops/latent_attention.h"
#include "engine/ops/rms_norm.h"
#include "engine/ops/rope.h"
#include "engine/ops/router.h"

namespace wenqu::engine {
namespace {

using ops::Floats;
using ops::Inputs;
using ops::matmul;
using ops::row_pointers;

// One batch on its way through the model.
class Pass {
 public:
  Pass(const ops::Compute& compute, const Config& config, const Weights& weights, std::span<const Sequence> batch)
      : compute_(compute),
        config_(config),
        weights_(weights),
        parts_(parts_of(config, batch)),
        positions_(positions_of(parts_)),
        tokens_(positions_.size()),
        d_(config.embedding),
        rope_(config.rope.frequencies, config.rope.magnitude, positions_),
        hidden_(tokens_ * d_),
        normed_(tokens_ * d_),
        delta_(tokens_ * d_) {
    std::fill(delta_.begin(), delta_.end(), 0.0f);
  }

  Status run(const BeforeLayer& before_layer) {
    WENQU_RETURN_IF_ERROR(through(weights_.layers.size(), before_layer));
    return output();
  }

  Status run_first(size_t layers, std::span<const Sequence> batch, std::vector<float>& states) {
    WENQU_RETURN_IF_ERROR(through(layers, {}));
    states.resize(tokens_ * d_);
    size_t first = 0;
    for (const Sequence& sequence : batch) {
      const Part& part = *std::find_if(parts_.begin(), parts_.end(), [&](const Part& one) { return one.sequence == &sequence; });
      std::copy_n(hidden_.data() + part.first * d_, part.count * d_, states.data() + first * d_);
      first += part.count;
    }
    return {};
  }

 private:
  // The states behind so many layers.
  Status through(size_t layers, const BeforeLayer& before_layer) {
    for (const Part& part : parts_)
      for (size_t i = 0; i < part.count; ++i)
        cpu::dequantize_row(weights_.embedding.type, weights_.embedding.row(0, static_cast<size_t>(part.sequence->tokens[i])), d_,
                            hidden_.data() + (part.first + i) * d_);
    for (size_t l = 0; l < layers; ++l) {
      const Layer& layer = weights_.layers[l];
      if (before_layer) before_layer();
      norm(layer.attention_norm);
      WENQU_RETURN_IF_ERROR(config_.has_mla() ? mla(layer, l) : gqa(layer, l));
      norm(layer.ffn_norm);
      WENQU_RETURN_IF_ERROR(layer.is_moe ? mixture(layer) : dense(layer));
    }
    by_token([&](size_t t) { add_delta(t); });
    return compute_.cancel.status();
  }

  // A sequence's place among the batch's tokens.
  struct Part {
    const Sequence* sequence;
    size_t first, count;
    bool expand;   // its latents, in MLA
    KvCache& cache() const { return *sequence->cache; }
    size_t position() const { return sequence->position; }
  };

  // Those whose latents are expanded stand last.
  static std::vector<Part> parts_of(const Config& config, std::span<const Sequence> batch) {
    std::vector<Part> parts;
    const ops::LatentShape shape = latent_shape(config);
    for (const Sequence& sequence : batch)
      parts.push_back({&sequence, 0, sequence.tokens.size(),
                       config.has_mla() && !sequence.deterministic && ops::expansion_pays(shape, sequence.position, sequence.tokens.size())});
    std::stable_partition(parts.begin(), parts.end(), [](const Part& part) { return !part.expand; });
    size_t first = 0;
    for (Part& part : parts) part.first = first, first += part.count;
    return parts;
  }
  const Part& part_of(size_t token) const {
    return *std::find_if(parts_.begin(), parts_.end(), [&](const Part& part) { return token < part.first + part.count; });
  }
  static std::vector<size_t> positions_of(const std::vector<Part>& parts) {
    std::vector<size_t> positions;
    for (const Part& part : parts)
      for (size_t i = 0; i < part.count; ++i) positions.push_back(part.position() + i);
    return positions;
  }
  static ops::LatentShape latent_shape(const Config& config) {
    const MlaConfig& m = config.mla;
    return {.latent = m.kv_lora, .nope = m.nope, .rope = m.rope, .value = m.value, .scale = config.attention_scale};
  }

  float* normed(size_t t) { return normed_.data() + t * d_; }

  template <typename Body>
  void by_token(const Body& body) const {
    compute_.parallel(tokens_, 8, [&](size_t begin, size_t end) {
      for (size_t t = begin; t < end; ++t) body(t);
    });
  }

  // What the part of a layer before gave (nothing at first).
  void add_delta(size_t t) {
    for (size_t i = t * d_; i < (t + 1) * d_; ++i) hidden_[i] += delta_[i];
  }

  void norm(const std::vector<float>& weight) {
    by_token([&](size_t t) {
      add_delta(t);
      ops::rms_norm(hidden_.data() + t * d_, weight.data(), config_.rms_epsilon, d_, normed(t));
    });
  }

  Status project(const Matrix& matrix, const Inputs& inputs, Floats& out) {
    out.resize(tokens_ * matrix.outputs);
    matmul(compute_, matrix, 0, inputs.rows(), row_pointers(out.data(), tokens_, matrix.outputs));
    return compute_.cancel.status();
  }

  static void add_bias(const std::vector<float>& bias, size_t t, Floats& rows) {
    float* row = rows.data() + t * bias.size();
    for (size_t i = 0; i < bias.size(); ++i) row[i] += bias[i];
  }

  // A head's query or key, normed where the model does that, turned to its position.
  void place(const std::vector<float>& weight, size_t t, float* head) const {
    if (!weight.empty()) ops::rms_norm(head, weight.data(), config_.rms_epsilon, config_.head, head);
    rope_.rotate(config_.rope.pairing, t, head);
  }

  // Grouped-query attention: several query heads share a head of keys and values.
  Status gqa(const Layer& layer, size_t l) {
    const size_t head = config_.head, heads = config_.heads, kv_heads = config_.kv_heads;
    const Inputs x(compute_, normed_.data(), tokens_, d_, d_, {&layer.q, &layer.k, &layer.v});
    WENQU_RETURN_IF_ERROR(project(layer.q, x, queries_));
    WENQU_RETURN_IF_ERROR(project(layer.k, x, keys_));
    WENQU_RETURN_IF_ERROR(project(layer.v, x, values_));
    by_token([&](size_t t) {
      add_bias(layer.q_bias, t, queries_);
      add_bias(layer.k_bias, t, keys_);
      add_bias(layer.v_bias, t, values_);
      KvCache& cache = part_of(t).cache();
      for (size_t h = 0; h < heads; ++h) place(layer.q_norm, t, queries_.data() + (t * heads + h) * head);
      for (size_t h = 0; h < kv_heads; ++h) {
        const size_t at = (t * kv_heads + h) * head;
        place(layer.k_norm, t, keys_.data() + at);
        cache.put(l, h, positions_[t], keys_.data() + at, values_.data() + at);
      }
    });
    attended_.resize(tokens_ * heads * head);
    attend(l, parts_, heads, {.key = head, .value = head, .scale = config_.attention_scale}, false, queries_, attended_);
    return attention_output(layer, heads * head);
  }

  // Attention of each part's queries to its cache. queries: [tokens][heads][key], out: [tokens][heads][value]; heads
  // that follow each other share a head of keys and values.
  void attend(size_t l, std::span<const Part> parts, size_t heads, const ops::AttentionShape& shape, bool values_are_keys,
              const Floats& queries, Floats& out) {
    constexpr size_t kTogether = 32;
    if (parts.empty()) return;
    const size_t kv_heads = parts[0].cache().shape().heads, group = heads / kv_heads;
    const size_t tokens = parts.back().first + parts.back().count, threads = static_cast<size_t>(compute_.pool.threads());
    const size_t together = std::clamp<size_t>((tokens * heads + threads - 1) / threads, 1, kTogether);
    struct Piece {
      const Part* part;
      size_t kv_head, first, end;   // queries of the head
    };
    std::vector<Piece> pieces;
    for (const Part& part : parts)
      for (size_t kv_head = 0; kv_head < kv_heads; ++kv_head)
        for (size_t first = 0; first < part.count * group; first += together)
          pieces.push_back({&part, kv_head, first, std::min(first + together, part.count * group)});
    compute_.parallel(pieces.size(), 1, [&](size_t begin, size_t end) {
      for (const Piece& piece : std::span(pieces).subspan(begin, end - begin)) {
        std::vector<ops::AttentionQuery> mine;
        for (size_t i = piece.first; i < piece.end; ++i) {
          const size_t t = piece.part->first + i / group, place = t * heads + piece.kv_head * group + i % group;
          mine.push_back({queries.data() + place * shape.key, positions_[t] + 1, out.data() + place * shape.value});
        }
        ops::attend(compute_.kernels, piece.part->cache(), l, piece.kv_head, values_are_keys, shape, mine);
      }
    });
  }

  // Multi-head latent attention.
  Status mla(const Layer& layer, size_t l) {
    const MlaConfig& m = config_.mla;
    const size_t heads = config_.heads, head = m.nope + m.rope, row = m.kv_lora + m.rope;
    const Matrix& first = m.q_lora > 0 ? layer.q_a : layer.q;
    const Inputs x(compute_, normed_.data(), tokens_, d_, d_, {&first, &layer.kv_a});
    if (m.q_lora > 0) {
      WENQU_RETURN_IF_ERROR(project(layer.q_a, x, latent_));
      by_token([&](size_t t) {
        float* q = latent_.data() + t * m.q_lora;
        ops::rms_norm(q, layer.q_a_norm.data(), config_.rms_epsilon, m.q_lora, q);
      });
      const Inputs q(compute_, latent_.data(), tokens_, m.q_lora, m.q_lora, {&layer.q_b});
      WENQU_RETURN_IF_ERROR(project(layer.q_b, q, queries_));
    } else {
      WENQU_RETURN_IF_ERROR(project(layer.q, x, queries_));
    }
    WENQU_RETURN_IF_ERROR(project(layer.kv_a, x, keys_));
    by_token([&](size_t t) {
      float* key = keys_.data() + t * row;
      ops::rms_norm(key, layer.kv_a_norm.data(), config_.rms_epsilon, m.kv_lora, key);
      rope_.rotate(config_.rope.pairing, t, key + m.kv_lora);
      part_of(t).cache().put(l, 0, positions_[t], key, nullptr);
      for (size_t h = 0; h < heads; ++h)
        rope_.rotate(config_.rope.pairing, t, queries_.data() + (t * heads + h) * head + m.nope);
    });
    attended_.resize(tokens_ * heads * m.value);
    const auto expanded = std::find_if(parts_.begin(), parts_.end(), [](const Part& part) { return part.expand; });
    WENQU_RETURN_IF_ERROR(attend_absorbed(layer, l, {parts_.begin(), expanded}));
    WENQU_RETURN_IF_ERROR(attend_expanded(layer, l, {expanded, parts_.end()}));
    return attention_output(layer, heads * m.value);
  }

  Status attend_expanded(const Layer& layer, size_t l, std::span<const Part> parts) {
    const ops::LatentShape shape = latent_shape(config_);
    const size_t heads = config_.heads, head = shape.nope + shape.rope;
    compute_.parallel(parts.size() * heads, 1, [&](size_t begin, size_t end) {
      for (size_t i = begin; i < end; ++i) {
        const Part& part = parts[i / heads];
        const size_t h = i % heads;
        std::vector<ops::AttentionQuery> mine;
        for (size_t t = part.first; t < part.first + part.count; ++t)
          mine.push_back({queries_.data() + (t * heads + h) * head, positions_[t] + 1, attended_.data() + (t * heads + h) * shape.value});
        ops::attend_expanded(compute_.kernels, part.cache(), l, h, layer.k_b, layer.v_b, shape, mine);
      }
    });
    return compute_.cancel.status();
  }

  // `parts` are the batch's first.
  Status attend_absorbed(const Layer& layer, size_t l, std::span<const Part> parts) {
    if (parts.empty()) return {};
    const ops::LatentShape shape = latent_shape(config_);
    const size_t heads = config_.heads, head = shape.nope + shape.rope, row = shape.latent + shape.rope;
    const size_t tokens = parts.back().first + parts.back().count;
    // Each head's query: k_b carries its unrotated part into the latent space.
    absorbed_.resize(tokens * heads * row);
    compute_.parallel(heads, 1, [&](size_t begin, size_t end) {
      for (size_t h = begin; h < end; ++h) {
        const ops::Compute alone{compute_.kernels, one_thread(), compute_.cancel};
        const Inputs q(alone, queries_.data() + h * head, tokens, shape.nope, heads * head, {&layer.k_b});
        const std::vector<float*> out = row_pointers(absorbed_.data() + h * row, tokens, heads * row);
        ops::matmul_rows(alone, layer.k_b, h, 0, shape.latent, q.rows(), out, 0);
        for (size_t t = 0; t < tokens; ++t)
          std::copy_n(queries_.data() + (t * heads + h) * head + shape.nope, shape.rope, out[t] + shape.latent);
      }
    });
    WENQU_RETURN_IF_ERROR(compute_.cancel.status());
    latent_.resize(tokens * heads * shape.latent);
    attend(l, parts, heads, {.key = row, .value = shape.latent, .scale = shape.scale}, true, absorbed_, latent_);
    WENQU_RETURN_IF_ERROR(compute_.cancel.status());
    compute_.parallel(heads, 1, [&](size_t begin, size_t end) {
      for (size_t h = begin; h < end; ++h) {
        const ops::Compute alone{compute_.kernels, one_thread(), compute_.cancel};
        const Inputs o(alone, latent_.data() + h * shape.latent, tokens, shape.latent, heads * shape.latent, {&layer.v_b});
        ops::matmul_rows(alone, layer.v_b, h, 0, shape.value, o.rows(),
                         row_pointers(attended_.data() + h * shape.value, tokens, heads * shape.value), 0);
      }
    });
    return compute_.cancel.status();
  }

  Status attention_output(const Layer& layer, size_t width) {
    WENQU_RETURN_IF_ERROR(compute_.cancel.status());
    const Inputs o(compute_, attended_.data(), tokens_, width, width, {&layer.attention_output});
    return project(layer.attention_output, o, delta_);
  }

  // SwiGLU: down(silu(gate x) * up x)
  Status dense(const Layer& layer) {
    const Inputs x(compute_, normed_.data(), tokens_, d_, d_, {&layer.gate, &layer.up});
    return gated(layer, x);
  }

  Status gated(const Layer& layer, const Inputs& x) {
    const size_t width = layer.gate.outputs;
    if (const size_t part = hidden_part(layer); part > 0) {
      Inputs h(tokens_, width, {&layer.down});
      WENQU_RETURN_IF_ERROR(hidden_in_parts(layer, x, part, h));
      return project(layer.down, h, delta_);
    }
    gate_.resize(tokens_ * width);
    up_.resize(tokens_ * width);
    const std::vector<float*> gates = row_pointers(gate_.data(), tokens_, width), ups = row_pointers(up_.data(), tokens_, width);
    compute_.parallel(width, ops::rows_per_piece(compute_, layer.gate, tokens_), [&](size_t begin, size_t end) {
      ops::matmul_rows(compute_, layer.gate, 0, begin, end, x.rows(), gates, begin);
      ops::matmul_rows(compute_, layer.up, 0, begin, end, x.rows(), ups, begin);
      for (size_t t = 0; t < tokens_; ++t)
        compute_.kernels.silu_multiply(gates[t] + begin, ups[t] + begin, gates[t] + begin, end - begin);
    });
    WENQU_RETURN_IF_ERROR(compute_.cancel.status());
    const Inputs h(compute_, gate_.data(), tokens_, width, width, {&layer.down});
    return project(layer.down, h, delta_);
  }

  // Columns of the hidden rows that a thread makes and rounds before memory sees them; 0: that does not pay, or cannot be.
  size_t hidden_part(const Layer& layer) const {
    constexpr size_t kTokens = 32, kEach = 4;   // tokens, and parts for each thread, at least
    const size_t unit = ops::rounding_unit(layer.down);
    if (unit == 0 || tokens_ < kTokens) return 0;
    const size_t part = (ops::rows_per_piece(compute_, layer.gate, tokens_) + unit - 1) / unit * unit;
    return layer.gate.outputs >= kEach * part * static_cast<size_t>(compute_.pool.threads()) ? part : 0;
  }

  Status hidden_in_parts(const Layer& layer, const Inputs& x, size_t part, Inputs& h) {
    compute_.parallel(layer.gate.outputs, part, [&](size_t begin, size_t end) {
      thread_local Floats gate, up;
      gate.resize(tokens_ * part);
      up.resize(tokens_ * part);
      const std::vector<float*> gates = row_pointers(gate.data(), tokens_, part), ups = row_pointers(up.data(), tokens_, part);
      ops::matmul_rows(compute_, layer.gate, 0, begin, end, x.rows(), gates, 0);
      ops::matmul_rows(compute_, layer.up, 0, begin, end, x.rows(), ups, 0);
      for (size_t t = 0; t < tokens_; ++t) {
        compute_.kernels.silu_multiply(gates[t], ups[t], gates[t], end - begin);
        h.round(compute_, t, begin, end - begin, gates[t]);
      }
    });
    return compute_.cancel.status();
  }

  // Mixture of experts: every token's chosen experts, weighted, and the shared ones, unweighted.
  Status mixture(const Layer& layer) {
    const MoeConfig& moe = config_.moe;
    const size_t experts = moe.router.experts, used = moe.router.used;
    const Inputs x(compute_, normed_.data(), tokens_, d_, d_,
                   {&layer.expert_gate, &layer.expert_up, &layer.gate, &layer.up});
    Floats scores;
    WENQU_RETURN_IF_ERROR(project(layer.router, x, scores));
    std::vector<ops::ExpertChoice> choices(tokens_ * used);
    by_token([&](size_t t) {
      ops::choose_experts(moe.router, std::span(scores.data() + t * experts, experts), layer.router_bias,
                          std::span(choices).subspan(t * used, used));
    });
    // Experts that are not in memory are read while the shared ones are computed.
    RoutedExperts routed(compute_, config_, layer, weights_.residency, choices);
    if (layer.gate) {
      WENQU_RETURN_IF_ERROR(gated(layer, x));   // the shared experts, as one
    } else {
      std::fill(delta_.begin(), delta_.end(), 0.0f);
    }
    return routed.add(x, delta_.data());
  }

  Status output() {
    std::vector<float> rows;   // of the tokens whose logits are wanted
    std::vector<float*> outputs;
    const size_t vocabulary = weights_.output.outputs;
    for (const Part& part : parts_) {
      if (part.sequence->state) {
        std::vector<float>& state = *part.sequence->state;
        state.resize(state.size() + d_);
        ops::rms_norm(hidden_.data() + (part.first + part.count - 1) * d_, weights_.output_norm.data(), config_.rms_epsilon, d_,
                      state.data() + state.size() - d_);
      }
      if (part.sequence->wanted == Sequence::Logits::none) continue;
      const size_t count = part.sequence->wanted == Sequence::Logits::all ? part.count : 1, first = part.first + part.count - count;
      std::vector<float>& logits = *part.sequence->logits;
      const size_t before = logits.size();
      logits.resize(before + count * vocabulary);
      for (size_t i = 0; i < count; ++i) {
        rows.insert(rows.end(), hidden_.data() + (first + i) * d_, hidden_.data() + (first + i + 1) * d_);
        outputs.push_back(logits.data() + before + i * vocabulary);
      }
    }
    if (outputs.empty()) return {};
    for (size_t i = 0; i < outputs.size(); ++i)
      ops::rms_norm(rows.data() + i * d_, weights_.output_norm.data(), config_.rms_epsilon, d_, rows.data() + i * d_);
    const Inputs x(compute_, rows.data(), outputs.size(), d_, d_, {&weights_.output});
    matmul(compute_, weights_.output, 0, x.rows(), outputs);
    return compute_.cancel.status();
  }

  // Work that is already one piece of a parallel loop runs on its own thread alone.
  static cpu::ThreadPool& one_thread() {
    static auto& pool = *new cpu::ThreadPool(1);   // never destroyed: a host may exit while answers run
    return pool;
  }

  const ops::Compute& compute_;
  const Config& config_;
  const Weights& weights_;
  const std::vector<Part> parts_;
  const std::vector<size_t> positions_;   // [tokens]
  const size_t tokens_, d_;
  const ops::RopeTable rope_;
  Floats hidden_, normed_, delta_;   // [tokens][embedding]
  Floats queries_, keys_, values_, latent_, absorbed_, attended_, gate_, up_;
};

}  // namespace

KvShape kv_shape(const Config& config, KvType type) {
  if (config.has_mla()) return {config.layers, 1, config.mla.kv_lora + config.mla.rope, 0, type};
  return {config.layers, config.kv_heads, config.head, config.head, type};
}

size_t scratch_bytes(const Config& config, size_t tokens, size_t threads) {
  const MlaConfig& mla = config.mla;
  const MoeConfig& moe = config.moe;
  size_t numbers = size_t{3} * config.embedding, alone = 0;
  if (config.has_mla()) {
    const size_t row = mla.kv_lora + mla.rope, head = mla.nope + mla.rope;
    numbers += config.heads * (head + row + mla.kv_lora + mla.value) + mla.q_lora + row;
    alone = size_t{mla.kv_lora} * (mla.nope + mla.value) + KvCache::kSegmentTokens * (row + head + mla.value);
  } else {
    numbers += size_t{config.head} * (2 * config.heads + 2 * config.kv_heads);
  }
  numbers += 2 * std::max<size_t>({config.feed_forward, size_t{moe.router.used} * moe.width, size_t{moe.shared} * moe.width});
  // The 8-bit forms of inputs come to less than half of the rows themselves.
  return (numbers + numbers / 2) * sizeof(float) * tokens + alone * sizeof(float) * threads + config.vocabulary * sizeof(float);
}

Status forward(const ops::Compute& compute, const Config& config, const Weights& weights, std::span<const Sequence> batch,
               const BeforeLayer& before_layer) {
  return Pass(compute, config, weights, batch).run(before_layer);
}

Status forward_first(const ops::Compute& compute, const Config& config, const Weights& weights, std::span<const Sequence> batch, size_t layers,
                     std::vector<float>& states) {
  return Pass(compute, config, weights, batch).run_first(layers, batch, states);
}

}  // namespace wenqu::engine
