// Batches of decoding, the same again and again: what comes a second time is recorded, and launched whole from then on.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "base/cancel.h"
#include "engine/device/batch.h"

namespace wenqu::engine::device {

class Recordings {
 public:
  static constexpr size_t kMostTokens = 8;
  // Kinds of batches that are known, of which the least recently used one is forgotten first. A recording is thought to take a few
  // hundred KiB of the device's memory, a node for each of its launches: all together some tens of MiB, of what the memory plan
  // leaves beside. Not measured.
  static constexpr size_t kMost = 128;

  explicit Recordings(std::shared_ptr<cuda::Device> device) : device_(std::move(device)) {}
  ~Recordings() { forget_graphs(); }
  Recordings(const Recordings&) = delete;
  Recordings& operator=(const Recordings&) = delete;

  // Launches what `compute` launches for the batch. moves: Batches::moves().
  Status run(const Batch& batch, uint64_t moves, const CancelToken& cancel, const std::function<Status()>& compute);

 private:
  // What a recorded batch is the same in; all else is in the tables.
  using Key = std::tuple<size_t, size_t, KvType, int, int, int, std::vector<cuda::AttentionPlan::Turn>, size_t, size_t, size_t, cuda::Rows>;
  struct Known {
    cuda::Device::Graph* graph = nullptr;   // none: it was seen once, or the tables have moved
    uint64_t used = 0;                      // when, by the clock
  };

  Result<cuda::Device::Graph*> record(const std::function<Status()>& compute);
  void forget_graphs();
  void forget_oldest();

  const std::shared_ptr<cuda::Device> device_;
  std::map<Key, Known> known_;
  uint64_t clock_ = 0;
  uint64_t moves_ = 0;   // that the graphs have seen
};

}  // namespace wenqu::engine::device
