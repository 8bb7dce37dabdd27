#include "engine/device/recordings.h"

namespace wenqu::engine::device {

void Recordings::forget() {
  for (const auto& [key, graph] : recorded_) device_->discard(graph);
  recorded_.clear();
}

Status Recordings::run(const Batch& batch, uint64_t moves, const CancelToken& cancel, const std::function<Status()>& compute) {
  const Key key{batch.tokens, batch.sequences, batch.kv.type, batch.plan.kernel, batch.plan.splits, batch.plan.split_keys, batch.plan.buffers,
                batch.plan.tiles.size(), batch.rows_at_once(), batch.most_best, batch.kind};
  if (moves != moves_) forget();
  moves_ = moves;
  auto found = recorded_.find(key);
  if (found == recorded_.end()) {
    if (recorded_.size() >= kMost) forget();
    WENQU_RETURN_IF_ERROR(device_->begin_recording());
    const Status status = compute();   // it computes nothing now: there is nothing to wait for
    const Result<cuda::Device::Graph*> graph = device_->end_recording();
    if (!status) {
      if (graph) device_->discard(*graph);
      return status;
    }
    if (!graph) return graph.status();
    found = recorded_.emplace(key, *graph).first;
  }
  WENQU_RETURN_IF_ERROR(cancel.status());
  return device_->replay(*found->second);
}

}  // namespace wenqu::engine::device
