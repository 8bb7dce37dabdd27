#include "engine/ops/latent_attention.h"

#include <algorithm>
#include <vector>

namespace wenqu::engine::ops {
namespace {

constexpr size_t kRows = 64;   // of a head's matrix, which stay in the cache while a run's latents pass by

// A head's matrices as [latent][nope] and [latent][value], so that a latent's numbers are weights of rows.
struct HeadRows {
  std::vector<float> keys, values;

  HeadRows(const Matrix& k_b, const Matrix& v_b, size_t head, const LatentShape& shape)
      : keys(shape.latent * shape.nope), values(shape.latent * shape.value) {
    for (size_t l = 0; l < shape.latent; ++l) dequantize_row(k_b, head, l, keys.data() + l * shape.nope);
    std::vector<float> row(shape.latent);
    for (size_t v = 0; v < shape.value; ++v) {
      dequantize_row(v_b, head, v, row.data());
      for (size_t l = 0; l < shape.latent; ++l) values[l * shape.value + v] = row[l];
    }
  }
};

// out[t] = latents[t] * rows, n numbers each.
void expand(const cpu::Kernels& kernels, const std::vector<float>& rows, size_t n, size_t latent,
            std::span<const float* const> latents, float* out, size_t stride) {
  for (size_t t = 0; t < latents.size(); ++t) std::fill_n(out + t * stride, n, 0.0f);
  std::vector<cpu::WeightedSum> sums(latents.size());
  for (size_t l = 0; l < latent; l += kRows) {
    for (size_t t = 0; t < latents.size(); ++t) sums[t] = {latents[t] + l, std::min(kRows, latent - l), out + t * stride};
    kernels.sum_rows_f32({.rows = reinterpret_cast<const std::byte*>(rows.data() + l * n), .row_bytes = n * sizeof(float), .n = n,
                          .sums = sums.data(), .count = sums.size()});
  }
}

}  // namespace

bool expansion_pays(const LatentShape& shape, size_t position, size_t tokens) {
  // Time in units of one product of the absorbed form's attention, fitted to tests/bench/attention_bench on a
  // Xeon with AVX2: constants, so that the form does not depend on how fast the machine is just now.
  constexpr double kExpanding = 0.65, kReadingMatrices = 40, kExpandedAttention = 1.1, kAbsorbing = 0.8;
  const double t = static_cast<double>(tokens), p = static_cast<double>(position), pairs = t * (p + (t + 1) / 2);
  const double per_token = static_cast<double>(shape.latent * (shape.nope + shape.value));
  const double expanded = per_token * (kExpanding * (p + t) + kReadingMatrices) +
                          kExpandedAttention * pairs * static_cast<double>(shape.nope + shape.rope + shape.value);
  const double absorbed = per_token * kAbsorbing * t + pairs * static_cast<double>(2 * shape.latent + shape.rope);
  return expanded < absorbed;
}

void attend_expanded(const cpu::Kernels& kernels, const KvCache& cache, size_t layer, size_t head, const Matrix& k_b,
                     const Matrix& v_b, const LatentShape& shape, std::span<const AttentionQuery> queries) {
  const HeadRows matrices(k_b, v_b, head, shape);
  const size_t row = shape.latent + shape.rope, key = shape.nope + shape.rope;
  std::vector<float> loaded, keys(Attention::kRun * key), values(Attention::kRun * shape.value);
  std::vector<const float*> rows;
  Attention attention(kernels, {.key = key, .value = shape.value, .scale = shape.scale}, queries);
  size_t total = 0;
  for (const AttentionQuery& query : queries) total = std::max(total, query.keys);
  for (size_t begin = 0; begin < total; begin += Attention::kRun) {
    const size_t count = std::min(Attention::kRun, total - begin);
    const std::byte* cached = cache.keys(layer, 0, begin / KvCache::kSegmentTokens);
    const size_t cached_bytes = cache.shape().key_bytes();
    rows.clear();
    if (cache.shape().type != KvType::f32) loaded.resize(Attention::kRun * row);
    for (size_t t = 0; t < count; ++t) {
      if (cache.shape().type == KvType::f32) {
        rows.push_back(reinterpret_cast<const float*>(cached + t * cached_bytes));
      } else {
        load_row(cache.shape().type, cached + t * cached_bytes, row, loaded.data() + t * row);
        rows.push_back(loaded.data() + t * row);
      }
    }
    expand(kernels, matrices.keys, shape.nope, shape.latent, rows, keys.data(), key);
    for (size_t t = 0; t < count; ++t) std::copy_n(rows[t] + shape.latent, shape.rope, keys.data() + t * key + shape.nope);
    expand(kernels, matrices.values, shape.value, shape.latent, rows, values.data(), shape.value);
    attention.add({.begin = begin, .count = count, .type = KvType::f32,
                   .keys = reinterpret_cast<const std::byte*>(keys.data()), .key_bytes = key * sizeof(float),
                   .values = reinterpret_cast<const std::byte*>(values.data()), .value_bytes = shape.value * sizeof(float)});
  }
  attention.finish();
}

}  // namespace wenqu::engine::ops
