// A model in double precision, written from the papers' formulas and not from the engine: straightforward
// loops, MLA decompressed, one token after the other. It makes its own small random weights and writes
// them as a GGUF file for the engine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

namespace wenqu::test {

struct ReferenceOptions {
  enum class MlaForm { split, joined, both };   // attn_k_b and attn_v_b, attn_kv_b, or all three

  bool deepseek = false;      // deepseek2, else `dense`
  uint32_t seed = 1;
  uint32_t layers = 3;
  bool tied = false;          // qwen2
  bool q_lora = true;         // deepseek2
  bool sigmoid = true;        // deepseek2: sigmoid with bias and groups, else softmax
  bool yarn = true;           // deepseek2
  float weight_scale = 1;     // of the feed-forward, to make large activations
  float value_scale = 1;      // of the values, not deepseek2
  std::string dense = "qwen2";            // or llama, qwen3, qwen3moe
  bool joined_qkv = false;                // one matrix attn_qkv
  MlaForm mla_form = MlaForm::split;      // deepseek2
  bool next_token = false;                // with a layer of multi-token prediction behind the trunk
  std::vector<float> rope_factors;        // llama: of each pair; empty: some
};

class ReferenceModel {
 public:
  struct Tensor {
    std::vector<uint64_t> ne;
    std::vector<float> values;
  };
  explicit ReferenceModel(const ReferenceOptions& options);

  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  GgufWriter writer() const;
  size_t vocabulary() const { return vocabulary_; }
  // The logits after each token.
  std::vector<std::vector<double>> logits(const std::vector<int32_t>& tokens) const;

 private:
  using Vector = std::vector<double>;
  void add(const std::string& name, std::vector<uint64_t> ne, double deviation, double mean = 0);
  Vector multiply(const std::string& name, const Vector& x, size_t matrix = 0) const;
  Vector norm(const std::string& name, const Vector& x) const;
  void rotate(double* x, size_t position) const;
  Vector mla(const std::string& block, const std::vector<Vector>& history) const;
  static void join_mla(std::map<std::string, Tensor>& tensors, const std::string& block);
  static void join_qkv(std::map<std::string, Tensor>& tensors, const std::string& block);
  bool is_moe(uint32_t layer) const;
  bool adjacent_pairs() const { return options_.deepseek || options_.dense == "llama"; }
  Vector gqa(const std::string& block, const std::vector<Vector>& history) const;
  Vector feed_forward(const std::string& block, const Vector& x, uint32_t layer) const;
  Vector gated(const std::string& block, const std::string& suffix, const Vector& x, size_t matrix) const;

  ReferenceOptions options_;
  size_t vocabulary_;
  // As the papers name them; writer() joins them to the forms asked for.
  std::map<std::string, Tensor> tensors_;
};

}  // namespace wenqu::test
