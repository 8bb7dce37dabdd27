// One head of latent attention with DeepSeek's shapes, T tokens behind P others, in both of its forms: what
// ops::expansion_pays() is measured by.
#include <benchmark/benchmark.h>

#include <random>

#include "engine/ops/latent_attention.h"

namespace wenqu::engine::ops {
namespace {

constexpr size_t kLatent = 512, kNope = 128, kRope = 64, kValue = 128, kRow = kLatent + kRope, kHead = kNope + kRope;

Matrix matrix(std::vector<std::byte>& bytes, size_t inputs, size_t outputs) {
  const size_t row = gguf::type_row_bytes(gguf::Type::q8_0, inputs);
  bytes.assign(row * outputs, std::byte{1});
  for (size_t at = 0; at < bytes.size(); at += 34) bytes[at + 1] = std::byte{0x14};   // a small scale
  return {.type = gguf::Type::q8_0, .data = bytes.data(), .inputs = inputs, .outputs = outputs, .row_bytes = row, .stride_bytes = bytes.size()};
}

struct Head {
  std::vector<std::byte> k_bytes, v_bytes;
  Matrix k_b = matrix(k_bytes, kNope, kLatent), v_b = matrix(v_bytes, kLatent, kValue);
  KvCache cache{{.layers = 1, .heads = 1, .key = kRow, .value = 0, .type = KvType::f16}};
  std::vector<float> queries, out;

  Head(size_t position, size_t tokens) : queries(tokens * kHead), out(tokens * kValue) {
    std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (float& q : queries) q = normal(random);
    if (!cache.resize(position + tokens)) return;
    std::vector<float> row(kRow);
    for (size_t t = 0; t < position + tokens; ++t) {
      for (float& number : row) number = normal(random);
      cache.put(0, 0, t, row.data(), nullptr);
    }
  }
};

void expanded(benchmark::State& state) {
  const size_t tokens = static_cast<size_t>(state.range(0)), position = static_cast<size_t>(state.range(1));
  Head head(position, tokens);
  const LatentShape shape{.latent = kLatent, .nope = kNope, .rope = kRope, .value = kValue, .scale = 0.1f};
  std::vector<AttentionQuery> queries;
  for (size_t t = 0; t < tokens; ++t) queries.push_back({head.queries.data() + t * kHead, position + t + 1, head.out.data() + t * kValue});
  for (auto _ : state) attend_expanded(cpu::kernels(cpu::best_isa()), head.cache, 0, 0, head.k_b, head.v_b, shape, queries);
}

void absorbed(benchmark::State& state) {
  const size_t tokens = static_cast<size_t>(state.range(0)), position = static_cast<size_t>(state.range(1));
  Head head(position, tokens);
  const cpu::Kernels& kernels = cpu::kernels(cpu::best_isa());
  cpu::ThreadPool pool(1);
  const CancelToken cancel;
  const Compute compute{kernels, pool, cancel};
  std::vector<float> carried(tokens * kRow), latents(tokens * kLatent);
  std::vector<AttentionQuery> queries;
  for (size_t t = 0; t < tokens; ++t) queries.push_back({carried.data() + t * kRow, position + t + 1, latents.data() + t * kLatent});
  for (auto _ : state) {
    const Inputs q(compute, head.queries.data(), tokens, kNope, kHead, {&head.k_b});
    matmul_rows(compute, head.k_b, 0, 0, kLatent, q.rows(), row_pointers(carried.data(), tokens, kRow), 0);
    for (size_t first = 0; first < tokens; first += 32)
      attend(kernels, head.cache, 0, 0, true, {.key = kRow, .value = kLatent, .scale = 0.1f}, std::span(queries).subspan(first, std::min<size_t>(32, tokens - first)));
    const Inputs o(compute, latents.data(), tokens, kLatent, kLatent, {&head.v_b});
    matmul_rows(compute, head.v_b, 0, 0, kValue, o.rows(), row_pointers(head.out.data(), tokens, kValue), 0);
  }
}

void shapes(benchmark::internal::Benchmark* bench) {
  bench->Unit(benchmark::kMillisecond);
  for (int64_t tokens : {1, 8, 16, 32, 64, 128, 256, 512})
    for (int64_t position : {0, 256, 1024, 4096}) bench->Args({tokens, position});
}
BENCHMARK(expanded)->Apply(shapes);
BENCHMARK(absorbed)->Apply(shapes);

}  // namespace
}  // namespace wenqu::engine::ops
