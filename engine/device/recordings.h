// Batches of decoding, the same again and again: their launches are recorded once and launched whole.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <tuple>

#include "base/cancel.h"
#include "engine/device/batch.h"

namespace wenqu::engine::device {

class Recordings {
 public:
  static constexpr size_t kMostTokens = 8;

  explicit Recordings(std::shared_ptr<cuda::Device> device) : device_(std::move(device)) {}
  ~Recordings() { forget(); }
  Recordings(const Recordings&) = delete;
  Recordings& operator=(const Recordings&) = delete;

  // Launches what `compute` launches for the batch. moves: Batches::moves().
  Status run(const Batch& batch, uint64_t moves, const CancelToken& cancel, const std::function<Status()>& compute);

 private:
  // What a recorded batch is the same in; all else is in the tables.
  using Key = std::tuple<size_t, size_t, KvType, int, int, int, int, size_t, size_t, size_t, cuda::Rows>;
  static constexpr size_t kMost = 32;

  void forget();

  const std::shared_ptr<cuda::Device> device_;
  std::map<Key, cuda::Device::Graph*> recorded_;
  uint64_t moves_ = 0;   // that those have seen
};

}  // namespace wenqu::engine::device
