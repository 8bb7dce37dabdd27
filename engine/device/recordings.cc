#include "engine/device/recordings.h"

#include <algorithm>

namespace wenqu::engine::device {

void Recordings::forget_graphs() {
  for (auto& [key, known] : known_) {
    if (known.graph) device_->discard(known.graph);
    known.graph = nullptr;
  }
}

void Recordings::forget_oldest() {
  const auto oldest = std::min_element(known_.begin(), known_.end(), [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
  if (oldest->second.graph) device_->discard(oldest->second.graph);
  known_.erase(oldest);
}

Result<cuda::Device::Graph*> Recordings::record(const std::function<Status()>& compute) {
  WENQU_RETURN_IF_ERROR(device_->begin_recording());
  const Status status = compute();   // it computes nothing now: there is nothing to wait for
  Result<cuda::Device::Graph*> graph = device_->end_recording();
  if (status) return graph;
  if (graph) device_->discard(*graph);
  return status;
}

Status Recordings::run(const Batch& batch, uint64_t moves, const CancelToken& cancel, const std::function<Status()>& compute) {
  WENQU_RETURN_IF_ERROR(cancel.status());
  if (moves != moves_) forget_graphs();
  moves_ = moves;
  Key key{batch.tokens, batch.sequences, batch.kv.type, batch.plan.kernel, batch.plan.split_keys, batch.plan.buffers, batch.plan.turns,
          batch.plan.tiles.size(), batch.rows_at_once(), batch.most_best, batch.kind};
  const auto [found, is_new] = known_.try_emplace(std::move(key));
  Known& known = found->second;
  known.used = ++clock_;
  if (is_new) {   // while contexts and drafts change, many do not come again
    if (known_.size() > kMost) forget_oldest();
    return compute();
  }
  if (!known.graph) {
    WENQU_ASSIGN_OR_RETURN(known.graph, record(compute));
  }
  return device_->replay(*known.graph);
}

}  // namespace wenqu::engine::device
