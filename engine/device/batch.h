// A batch as a device computes it: its sequences in order, how attention goes about them, which rows something is wanted
// of, and where all of this has been written for the kernels.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/cuda/attention.h"
#include "engine/cuda/best.h"
#include "engine/cuda/expansion.h"
#include "engine/cuda/products.h"
#include "engine/device/forward.h"
#include "engine/device/memory.h"
#include "engine/device/scratch.h"

namespace wenqu::engine::device {

struct Batch {
  std::vector<Sequence> order;    // those whose latents are expanded stand last
  size_t tokens = 0, sequences = 0;
  KvShape kv;
  size_t planned = 0;             // tokens that `plan` sees to: the first
  cuda::AttentionPlan plan;
  cuda::ExpansionPlan expansion;  // of the others; no tiles where there are none
  std::vector<int32_t> rows;      // tokens whose logits or states are wanted, in order
  std::vector<cuda::BestWanted> wanted;   // [rows], of those whose best logits may be enough
  size_t most_best = 0;           // of them; 0: all are wanted
  // Of deterministic sequences, a row's result must not depend on what is beside it.
  cuda::Rows kind = cuda::Rows::fastest;
  std::vector<size_t> passes;     // where the rows begin that are computed at a time, and where the last ones end
  size_t rows_at_once() const { return passes.size() == 2 ? rows.size() : 0; }   // which a recording computes too
  bool all_rows() const { return rows_at_once() == tokens; }                     // as they lie
  // On the device, until the next batch is described.
  Tables tables;
};

// Whether a sequence's best logits may be enough.
inline bool takes_best(const Sequence& sequence) {
  return sequence.request && sequence.top && sequence.wanted != Sequence::Logits::none && sequence.tokens.size() <= Scratch::kLogitRows;
}

// Describes batches, one after the other, in memory that grows with them. Config and placement outlive it.
class Batches {
 public:
  Batches(std::shared_ptr<cuda::Device> device, const Config& config, const Placement& placement)
      : device_(std::move(device)), config_(config), placement_(placement) {}

  // How many sequences keep the absorbed form: those that stand first then.
  size_t put_expanded_last(std::vector<Sequence>& order) const;
  // `scratch`: that the batch will be computed in. Errors: those of the device, unsupported, limit_exceeded.
  Result<Batch> describe(std::span<const Sequence> unordered, const Scratch& scratch);
  // How often the tables have moved: launches recorded before know their old place.
  uint64_t moves() const { return moves_; }

 private:
  // What the tables will hold, but for what the batch has.
  struct Told {
    std::vector<int32_t> tokens, first_page;
    std::vector<cuda::Place> places;
    std::vector<size_t> positions;
    std::vector<std::byte*> pages;
  };
  // Returns the longest context that `plan` sees to.
  size_t tell(size_t absorbed, Batch& batch, Told& told) const;
  void add_rows(const Sequence& sequence, size_t first, Batch& batch) const;
  Status place_tables(const Told& told, Batch& batch);
  Status grow_tables(size_t bytes);

  const std::shared_ptr<cuda::Device> device_;
  const Config& config_;
  const Placement& placement_;
  Memory table_memory_;
  std::vector<std::byte> host_tables_;
  uint64_t moves_ = 0;
};

}  // namespace wenqu::engine::device
