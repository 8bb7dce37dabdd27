// A bidirectional encoder in double precision, written from BERT's formulas and not from the engine: straightforward
// loops over one text. It makes its own small random weights and writes them as a GGUF file for the engine.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/support/gguf_writer.h"

namespace wenqu::test {

struct EncoderOptions {
  uint32_t seed = 1;
  uint32_t layers = 2;
  uint32_t context = 600;
  uint32_t token_types = 2;
  uint32_t pooling = 1;        // as files count: 1 mean, 2 first, 3 last, 4 rank
  bool unigram = false;        // XLM-RoBERTa's tokenizer in place of BERT's
  bool dense_head = true;      // with pooling 4
};

class ReferenceEncoder {
 public:
  using Vector = std::vector<double>;

  explicit ReferenceEncoder(const EncoderOptions& options);

  GgufWriter writer() const;
  // The state of each token after the last layer; `second`: the first token of the second segment.
  std::vector<Vector> states(const std::vector<int32_t>& tokens, size_t second = SIZE_MAX) const;
  // What the engine is to give for the tokens: the pooled vector of length 1, or the head's one score.
  Vector pooled(const std::vector<int32_t>& tokens, size_t second = SIZE_MAX) const;

  // The tokenizer's tokens, and where they stand.
  const std::vector<std::string>& vocabulary() const { return vocabulary_; }
  int32_t id(const std::string& token) const;

 private:
  struct Tensor {
    std::vector<uint64_t> ne;
    std::vector<float> values;
  };
  void add(const std::string& name, std::vector<uint64_t> ne, double deviation, double mean = 0);
  void add_affine(const std::string& name, size_t in, size_t out);
  void add_norm(const std::string& name);
  Vector affine(const std::string& name, const Vector& x) const;
  Vector norm(const std::string& name, const Vector& x) const;
  Vector row(const std::string& name, size_t index) const;

  EncoderOptions options_;
  std::vector<std::string> vocabulary_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace wenqu::test
