#include "engine/device/attention.h"

#include "engine/cuda/attention.h"

namespace wenqu::engine::device {
namespace {

cuda::Product product(const DeviceMatrix& matrix, float* out, const float* bias = nullptr) {
  return {matrix.stack, matrix.type, out, matrix.stack.outputs, bias};
}

// Rows of `n` numbers, value_stride apart.
Status round(const Workplace& w, const float* values, size_t rows, size_t value_stride, size_t n, cuda::Rounded& to) {
  to.stride = as_int(padded(n));
  return cuda::launch<cuda::RoundRows>(
      w.device, {as_unsigned(rows), as_unsigned((padded(n) / cuda::kBlock + cuda::RoundRows::kBlocks - 1) / cuda::RoundRows::kBlocks)},
      {values, as_int(value_stride), as_int(n), to});
}

cuda::CacheRows cache_rows(const Workplace& w, const Batch& batch, size_t layer) {
  const KvShape& kv = batch.kv;
  const size_t head_bytes = KvCache::kSegmentTokens * (kv.key_bytes() + kv.value_bytes());
  return {batch.tables.pages, batch.tables.first_page, (layer - w.placement.layers.first) * kv.heads * head_bytes, as_int(kv.heads), as_int(kv.key),
          as_int(kv.value), as_int(kv.key_bytes()), as_int(kv.value_bytes()), kv.type};
}

cuda::Rotation rotation(const Workplace& w, const Batch& batch, size_t offset) {
  return {batch.tables.cosines, batch.tables.sines, as_int(w.config.rope.frequencies.size()), as_int(offset),
          w.config.rope.pairing == ops::RopePairing::adjacent};
}

Status place_tokens(const Workplace& w, size_t tokens, const cuda::QueryRows& queries, const cuda::KeyRows& keys) {
  using cuda::PlaceTokens;
  const int blocks = cuda::divide_up(queries.heads, PlaceTokens::kHeads) + keys.cache.heads;
  return cuda::launch<PlaceTokens>(w.device, {static_cast<unsigned>(blocks), as_unsigned(tokens)}, {queries, keys},
                                   static_cast<size_t>(PlaceTokens::shared_bytes(keys.cache.key)));
}

cuda::AttentionArguments attention_arguments(const Workplace& w, const Batch& batch, size_t layer, const float* queries, float* out) {
  cuda::AttentionArguments arguments{};
  arguments.queries = queries, arguments.out = out;
  arguments.partial = w.scratch.partial, arguments.partial_scale = w.scratch.partial_scale;
  arguments.tiles = batch.tables.tiles, arguments.places = batch.tables.places;
  arguments.cache = cache_rows(w, batch, layer);
  arguments.scale = w.config.attention_scale;
  return arguments;
}

Status attend(const Workplace& w, const Batch& batch, size_t layer, const float* queries, float* out, const cuda::Rounded& rounded) {
  const cuda::AttentionShape shape = attention_shape(w.config);
  cuda::AttentionArguments arguments = attention_arguments(w, batch, layer, queries, out);
  arguments.heads = arguments.row_heads = shape.heads, arguments.value = shape.value, arguments.values_are_keys = shape.values_are_keys;
  return cuda::attend(w.device, batch.plan, arguments, rounded);
}

// Rounds what each head of a token gave, where heads are whole blocks; else nothing.
cuda::Rounded by_head(const cuda::Rounded& rows, size_t n) {
  return n % cuda::kBlock == 0 ? cuda::Rounded{rows.q, rows.scales, as_int(n)} : cuda::Rounded();
}

// `rounded`: of the first so many tokens, what attention gave was rounded already.
Status attention_output(const Workplace& w, const Batch& batch, const DeviceLayer& layer, size_t width, size_t rounded) {
  Scratch& s = w.scratch;
  if (rounded < batch.tokens) {
    const size_t stride = padded(width);
    cuda::Rounded rest{s.rounded_attended.q + rounded * stride, s.rounded_attended.scales + rounded * (stride / cuda::kBlock), 0};
    WENQU_RETURN_IF_ERROR(round(w, s.attended + rounded * width, batch.tokens - rounded, width, width, rest));
  }
  const cuda::Input attended{s.attended, as_int(width), s.rounded_attended.q, s.rounded_attended.scales, as_int(padded(width)), s.halves_of(as_int(width))};
  const cuda::Product output[] = {product(layer.attention_output, s.delta)};
  return cuda::multiply(w.device, output, attended, as_int(batch.tokens), w.then(layer.ffn_norm), batch.kind);
}

// Grouped-query attention.
Status gqa(const Workplace& w, const Batch& batch, size_t l) {
  const DeviceLayer& layer = w.weights.layers[l];
  Scratch& s = w.scratch;
  const size_t head = w.config.head, heads = w.config.heads, kv_heads = w.config.kv_heads;
  const cuda::Product products[] = {product(layer.q, s.queries, layer.q_bias), product(layer.k, s.keys, layer.k_bias),
                                    product(layer.v, s.values, layer.v_bias)};
  WENQU_RETURN_IF_ERROR(cuda::multiply(w.device, products, w.normed(), as_int(batch.tokens), {}, batch.kind));
  const int row = as_int(kv_heads * head);
  WENQU_RETURN_IF_ERROR(
      place_tokens(w, batch.tokens, {s.queries, as_int(heads), as_int(head), {layer.q_norm, as_int(head), w.config.rms_epsilon}, rotation(w, batch, 0)},
                   {s.keys, row, s.values, row, batch.tables.places, {layer.k_norm, as_int(head), w.config.rms_epsilon}, rotation(w, batch, 0), cache_rows(w, batch, l)}));
  const cuda::Rounded rounded = by_head(s.rounded_attended, head);
  WENQU_RETURN_IF_ERROR(attend(w, batch, l, s.queries, s.attended, rounded));
  return attention_output(w, batch, layer, heads * head, rounded.q ? batch.tokens : 0);
}

// k_b carries each head's query into the latent space, v_b its result out.
Status attend_absorbed(const Workplace& w, const Batch& batch, size_t l) {
  if (batch.planned == 0) return {};
  const DeviceLayer& layer = w.weights.layers[l];
  const MlaConfig& m = w.config.mla;
  Scratch& s = w.scratch;
  const size_t tokens = batch.planned, heads = w.config.heads, head = m.nope + m.rope, row = m.kv_lora + m.rope;
  const cuda::Input queries{s.queries, as_int(head), s.rounded_heads.q, s.rounded_heads.scales, as_int(padded(m.nope))};
  WENQU_RETURN_IF_ERROR(
      cuda::multiply(w.device, layer.k_b.stack, layer.k_b.type, queries, as_int(tokens), as_int(heads), s.absorbed, as_int(row), nullptr, batch.kind));
  const cuda::Rounded by_latent = by_head(s.rounded_heads, m.kv_lora);   // in the place of the queries
  WENQU_RETURN_IF_ERROR(attend(w, batch, l, s.absorbed, s.latents, by_latent));
  if (!by_latent.q) WENQU_RETURN_IF_ERROR(round(w, s.latents, tokens * heads, m.kv_lora, m.kv_lora, s.rounded_heads));
  const cuda::Input latents{s.latents, as_int(m.kv_lora), s.rounded_heads.q, s.rounded_heads.scales, as_int(padded(m.kv_lora))};
  if (m.value % cuda::kBlock == 0)
    return cuda::multiply_and_round(w.device, layer.v_b.stack, layer.v_b.type, latents, as_int(tokens), as_int(heads), s.attended,
                                    {s.rounded_attended.q, s.rounded_attended.scales, as_int(heads * m.value)}, batch.kind);
  return cuda::multiply(w.device, layer.v_b.stack, layer.v_b.type, latents, as_int(tokens), as_int(heads), s.attended, as_int(m.value), nullptr,
                        batch.kind);
}

// Keys and values of the sequences' tokens are made of the latents in the cache, and attended to.
Status attend_expanded(const Workplace& w, const Batch& batch, size_t l) {
  const size_t first = batch.planned;
  if (first == batch.tokens) return {};
  const DeviceLayer& layer = w.weights.layers[l];
  const size_t heads = w.config.heads, head = size_t{w.config.mla.nope} + w.config.mla.rope;
  cuda::AttentionArguments arguments =
      attention_arguments(w, batch, l, w.scratch.queries + first * heads * head, w.scratch.attended + first * heads * w.config.mla.value);
  arguments.tiles = batch.tables.expanded_tiles, arguments.places = batch.tables.places + first;
  return cuda::attend_expanded(w.device, batch.expansion, latent_shape(w.config), {layer.k_b.stack, layer.v_b.stack, layer.k_b.type, layer.v_b.type},
                               {batch.tables.latent_tiles, batch.tables.expanded_pages, batch.tables.expanded_first_page}, w.scratch.expansion, arguments);
}

// Multi-head latent attention (engine/ops/latent_attention.h).
Status mla(const Workplace& w, const Batch& batch, size_t l) {
  const DeviceLayer& layer = w.weights.layers[l];
  const MlaConfig& m = w.config.mla;
  Scratch& s = w.scratch;
  const size_t tokens = batch.tokens, heads = w.config.heads, head = m.nope + m.rope, row = m.kv_lora + m.rope;
  const cuda::Product products[] = {m.q_lora > 0 ? product(layer.q_a, s.q_latent) : product(layer.q, s.queries), product(layer.kv_a, s.keys)};
  const cuda::NormRows q_norm{s.q_latent, nullptr, layer.q_a_norm, s.q_latent_normed, s.rounded_q_latent, as_int(m.q_lora), w.config.rms_epsilon};
  WENQU_RETURN_IF_ERROR(cuda::multiply(w.device, products, w.normed(), as_int(tokens), m.q_lora > 0 ? cuda::NormAfter{q_norm, s.arrived} : cuda::NormAfter(), batch.kind));
  if (m.q_lora > 0) {
    const cuda::Input latent{s.q_latent_normed, as_int(m.q_lora), s.rounded_q_latent.q, s.rounded_q_latent.scales, s.rounded_q_latent.stride,
                             s.halves_of(as_int(m.q_lora))};
    WENQU_RETURN_IF_ERROR(w.multiply(layer.q_b, latent, tokens, batch.kind, s.queries));
  }
  s.rounded_heads.stride = as_int(padded(m.nope));
  WENQU_RETURN_IF_ERROR(place_tokens(
      w, tokens,
      {s.queries, as_int(heads), as_int(head), {}, rotation(w, batch, m.nope), as_int(batch.planned), s.absorbed + m.kv_lora, as_int(row), s.rounded_heads},
      {s.keys, as_int(row), nullptr, 0, batch.tables.places, {layer.kv_a_norm, as_int(m.kv_lora), w.config.rms_epsilon}, rotation(w, batch, m.kv_lora),
       cache_rows(w, batch, l)}));
  WENQU_RETURN_IF_ERROR(attend_absorbed(w, batch, l));
  WENQU_RETURN_IF_ERROR(attend_expanded(w, batch, l));
  return attention_output(w, batch, layer, heads * m.value, m.value % cuda::kBlock == 0 ? batch.planned : 0);
}

}  // namespace

Status attention(const Workplace& w, const Batch& batch, size_t layer) { return w.config.has_mla() ? mla(w, batch, layer) : gqa(w, batch, layer); }

}  // namespace wenqu::engine::device
