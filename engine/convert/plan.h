// Which tensors the GGUF file has, and where each one's values come from: the checkpoint's tensors under their GGUF names,
// some with their rows in another order, some joined, some taken apart. Nothing is read before the values are asked for.
//
// Thread safety: values may be asked for by several threads. Lifetime: a plan looks into its Checkpoint.
#pragma once

#include <functional>
#include <string>
#include <unordered_set>
#include <vector>

#include "base/status.h"
#include "engine/convert/checkpoint.h"
#include "engine/convert/hf_config.h"
#include "engine/quant/stream.h"

namespace wenqu::engine::convert {

struct PlannedTensor {
  std::string name;                 // GGUF's
  std::vector<uint64_t> ne;         // ne[0] is contiguous
  quant::ValueSource values;

  uint64_t elements() const;
};

// A matrix of the checkpoint, with the scales of its blocks where it is in FP8.
class SourceMatrix {
 public:
  // `shape`: what the configuration calls for. Errors: corrupt (missing or misshapen, or its scales are), unsupported
  // (number format); with the tensor.
  static Result<SourceMatrix> open(const Checkpoint& checkpoint, const HfConfig& config, const std::string& name,
                                   const std::vector<uint64_t>& shape);

  uint64_t columns() const { return columns_; }
  void read(uint64_t row, uint64_t column, uint64_t count, float* out) const;
  bool is_scaled() const { return scales_ != nullptr; }

 private:
  const SafetensorsEntry* entry_ = nullptr;
  uint64_t columns_ = 1;
  const SafetensorsEntry* scales_ = nullptr;   // [row / block_rows][column / block_columns]
  uint64_t block_rows_ = 1, block_columns_ = 1, scale_columns_ = 0;
};

class Planner {
 public:
  Planner(const Checkpoint& checkpoint, const HfConfig& config) : checkpoint_(checkpoint), config_(config) {}

  using RowMap = std::function<uint64_t(uint64_t row)>;   // of the GGUF tensor, to the checkpoint's

  bool has(const std::string& from) const { return checkpoint_.has(from); }
  Status vector(std::string to, const std::string& from, uint64_t size, const RowMap& order = {});
  Status matrix(std::string to, const std::string& from, uint64_t in, uint64_t out);
  // Rows in another order; `ne` may have fewer or more dimensions than the checkpoint's [rows, ne[0]].
  Status ordered(std::string to, const std::string& from, std::vector<uint64_t> ne, uint64_t rows, RowMap order);
  // Of `count` matrices with names in which "*" stands for the number.
  Status stack(std::string to, const std::string& from, uint64_t in, uint64_t out, uint64_t count);
  // Blocks of `rows` rows at `first` + k * `stride`, each turned around: {rows, columns, blocks}.
  Status turned(std::string to, const std::string& from, uint64_t columns, uint64_t stride, uint64_t rows, uint64_t blocks);
  void constant(std::string to, std::vector<float> values);
  void ignore(const std::string& from) { used_.insert(from); }

  std::vector<PlannedTensor> take() { return std::move(tensors_); }
  // Names of the checkpoint that nothing was made of.
  std::vector<std::string> left_over() const;

 private:
  Result<SourceMatrix> open(const std::string& name, std::vector<uint64_t> shape);

  const Checkpoint& checkpoint_;
  const HfConfig& config_;
  std::vector<PlannedTensor> tensors_;
  std::unordered_set<std::string> used_;
};

}  // namespace wenqu::engine::convert
