// Bytes of weights a second through each matrix kernel: one token (decode), a few (drafts, sessions together) and
// many (prefill) with weights that the caches hold, and one with weights that come from memory; as rows lie in a file and,
// where that gains ("eight/"), side by side.
#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "engine/cpu/interleaved.h"
#include "engine/cpu/kernels.h"

namespace wenqu::engine::cpu {
namespace {

void dot_rows(benchmark::State& state, Isa isa, gguf::Type type, bool from_memory, bool interleaved) {
  const Kernels& k = kernels(isa);
  const size_t n = from_memory ? 1536 : 2048, rows = from_memory ? 256 << 10 : 512, tokens = static_cast<size_t>(state.range(0));
  const size_t row_bytes = gguf::type_row_bytes(type, n);
  std::vector<std::byte> weights(rows * row_bytes, std::byte{0x11});
  std::vector<float> values(n, 0.5f), scale32(n / 32), scale256(n / 256), out(tokens * rows);
  std::vector<int8_t> q32(n), q256(n);
  std::vector<int16_t> sums32(n / 32), sums(n / 16);
  k.round32(values.data(), n, q32.data(), scale32.data(), sums32.data());
  k.round256(values.data(), n, q256.data(), scale256.data(), sums.data());
  const std::vector<InputRow> inputs(tokens, {values.data(), q32.data(), scale32.data(), sums32.data(), q256.data(), scale256.data(), sums.data()});
  std::vector<float*> outputs;
  for (size_t t = 0; t < tokens; ++t) outputs.push_back(out.data() + t * rows);
  const DotRows args{.weights = weights.data(), .interleaved = interleaved, .row_bytes = row_bytes, .rows = rows, .n = n, .inputs = inputs.data(),
                     .outputs = outputs.data(), .tokens = tokens};
  constexpr size_t kPiece = 64;   // rows
  for (auto _ : state) {
    for (size_t first = 0; first < rows; first += kPiece) {
      DotRows piece = args;
      piece.weights += first * row_bytes, piece.first = first, piece.rows = kPiece;
      k.dot_rows(type)(piece);
    }
    benchmark::DoNotOptimize(out.data());
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations()) * static_cast<int64_t>(weights.size()));
  state.counters["GOPS"] = benchmark::Counter(2e-9 * static_cast<double>(n * rows * tokens * state.iterations()), benchmark::Counter::kIsRate);
}

const int registered = [] {
  using enum gguf::Type;
  for (gguf::Type type : {f32, f16, q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_xs})
    for (Isa isa : kIsas)
      for (bool interleaved : {false, true}) {
        if (!is_supported(isa)) continue;
        if (interleaved && !(kernels(isa).gain_by_interleaving && can_interleave(type, kInterleavedRows))) continue;
        const std::string name = std::string(kernels(isa).name) + "/" + (interleaved ? "eight/" : "") + std::string(gguf::type_traits(type).name);
        auto* const cached = benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { dot_rows(state, isa, type, false, interleaved); });
        for (int tokens : {1, 2, 4, 8, 16, 32, 256}) cached->Arg(tokens);
        if (isa != Isa::scalar)
          benchmark::RegisterBenchmark(("memory/" + name).c_str(), [=](benchmark::State& state) { dot_rows(state, isa, type, true, interleaved); })->Arg(1);
      }
  return 0;
}();

}  // namespace
}  // namespace wenqu::engine::cpu
