#include "engine/ops/attention.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace wenqu::engine::ops {
namespace {

constexpr size_t kQueriesTogether = 32;   // queries whose scores are kept at once
constexpr size_t kLoaded = 64;     // keys that are made floats at a time
constexpr size_t kTile = 32;       // values that stay in the cache while the queries pass by

// Others are made floats, a tile at a time.
bool kernels_read(KvType type) { return type == KvType::f32 || type == KvType::f16; }

}  // namespace

Attention::Attention(const cpu::Kernels& kernels, const AttentionShape& shape, std::span<const AttentionQuery> queries)
    : kernels_(kernels),
      shape_(shape),
      queries_(queries),
      maxima_(queries.size(), -std::numeric_limits<float>::infinity()),
      sums_(queries.size()),
      scores_(std::min(queries.size(), kQueriesTogether) * kRun) {
  for (const AttentionQuery& query : queries) std::fill_n(query.out, shape.value, 0.0f);
}

void Attention::add(const KeyValueRun& run) {
  for (size_t first = 0; first < queries_.size(); first += kQueriesTogether)
    add(run, first, std::min(kQueriesTogether, queries_.size() - first));
}

void Attention::add(const KeyValueRun& run, size_t first, size_t count) {
  std::array<size_t, kQueriesTogether> seen{};
  for (size_t q = 0; q < count; ++q)
    seen[q] = std::min(run.count, queries_[first + q].keys - std::min(queries_[first + q].keys, run.begin));
  score(run, first, std::span(seen).first(count));
  for (size_t q = 0; q < count; ++q) {
    if (seen[q] == 0) continue;
    float* scores = scores_.data() + q * kRun;
    float& maximum = maxima_[first + q];
    float& sum = sums_[first + q];
    const float top = std::max(maximum, kernels_.scale_maximum(scores, seen[q], shape_.scale));
    // What was added up under a smaller maximum is brought down to the new one.
    if (top > maximum && sum > 0) {
      const float factor = std::exp(maximum - top);
      sum *= factor;
      float* out = queries_[first + q].out;
      for (size_t i = 0; i < shape_.value; ++i) out[i] *= factor;
    }
    maximum = top;
    sum += kernels_.exp_sum(scores, seen[q], maximum);
    // With all keys in one run the weights can be normalised before they are used.
    if (queries_[first + q].keys <= kRun) {
      const float inverse = 1 / sum;
      for (size_t i = 0; i < seen[q]; ++i) scores[i] *= inverse;
    }
  }
  sum_values(run, first, std::span(seen).first(count));
}

// scores_ = query * key for the keys that the queries see, and maybe more.
void Attention::score(const KeyValueRun& run, size_t first, std::span<const size_t> seen) {
  std::array<cpu::InputRow, kQueriesTogether> inputs;
  std::array<float*, kQueriesTogether> outputs;
  for (size_t q = 0; q < seen.size(); ++q) {
    inputs[q].values = queries_[first + q].query;
    outputs[q] = scores_.data() + q * kRun;
  }
  const size_t most = *std::max_element(seen.begin(), seen.end());
  const size_t together = kernels_read(run.type) ? kRun : kLoaded;
  for (size_t row = 0; row < most; row += together) {
    const size_t rows = std::min(together, most - row);
    cpu::DotRows args{.weights = run.keys + row * run.key_bytes, .first = row, .row_bytes = run.key_bytes, .rows = rows, .n = shape_.key,
                      .inputs = inputs.data(), .outputs = outputs.data(), .tokens = seen.size()};
    if (!kernels_read(run.type)) {
      rows_.resize(kLoaded * std::max(shape_.key, shape_.value));
      for (size_t r = 0; r < rows; ++r)
        load_row(run.type, run.keys + (row + r) * run.key_bytes, shape_.key, rows_.data() + r * shape_.key);
      args.weights = reinterpret_cast<const std::byte*>(rows_.data());
      args.row_bytes = shape_.key * sizeof(float);
    }
    kernels_.dot_rows(run.type == KvType::f16 ? gguf::Type::f16 : gguf::Type::f32)(args);
  }
}

// out += weight * value for the keys that each query sees.
void Attention::sum_values(const KeyValueRun& run, size_t first, std::span<const size_t> seen) {
  const size_t most = *std::max_element(seen.begin(), seen.end());
  const auto function = run.type == KvType::f16 ? kernels_.sum_rows_f16 : kernels_.sum_rows_f32;
  for (size_t row = 0; row < most; row += kTile) {
    const size_t rows = std::min(kTile, most - row);
    cpu::SumRows args{.rows = run.values + row * run.value_bytes, .row_bytes = run.value_bytes, .n = shape_.value};
    if (!kernels_read(run.type)) {
      rows_.resize(kLoaded * std::max(shape_.key, shape_.value));
      for (size_t r = 0; r < rows; ++r)
        load_row(run.type, run.values + (row + r) * run.value_bytes, shape_.value, rows_.data() + r * shape_.value);
      args.rows = reinterpret_cast<const std::byte*>(rows_.data());
      args.row_bytes = shape_.value * sizeof(float);
    }
    std::array<cpu::WeightedSum, kQueriesTogether> sums;
    size_t count = 0;
    for (size_t q = 0; q < seen.size(); ++q) {
      const size_t mine = std::min(rows, seen[q] - std::min(seen[q], row));
      if (mine > 0) sums[count++] = {scores_.data() + q * kRun + row, mine, queries_[first + q].out};
    }
    args.sums = sums.data();
    args.count = count;
    function(args);
  }
}

void Attention::finish() {
  for (size_t q = 0; q < queries_.size(); ++q) {
    if (queries_[q].keys <= kRun) continue;
    const float inverse = 1 / sums_[q];
    for (size_t i = 0; i < shape_.value; ++i) queries_[q].out[i] *= inverse;
  }
}

void attend(const cpu::Kernels& kernels, const KvCache& cache, size_t layer, size_t head, bool values_are_keys,
            const AttentionShape& shape, std::span<const AttentionQuery> queries) {
  Attention attention(kernels, shape, queries);
  size_t keys = 0;
  for (const AttentionQuery& query : queries) keys = std::max(keys, query.keys);
  for (size_t begin = 0; begin < keys; begin += Attention::kRun) {
    const size_t segment = begin / KvCache::kSegmentTokens;
    KeyValueRun run{.begin = begin, .count = std::min(Attention::kRun, keys - begin), .type = cache.shape().type,
                    .keys = cache.keys(layer, head, segment), .key_bytes = cache.shape().key_bytes()};
    run.values = values_are_keys ? run.keys : cache.values(layer, head, segment);
    run.value_bytes = values_are_keys ? run.key_bytes : cache.shape().value_bytes();
    attention.add(run);
  }
  attention.finish();
}

}  // namespace wenqu::engine::ops
