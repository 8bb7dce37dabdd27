#include "engine/device/split.h"

#include <fmt/format.h>

#include <utility>

namespace wenqu::engine::device {

SplitModel::SplitModel(Split split) : split_(std::move(split)) {
  std::vector<DeviceSegments::Share> shares;
  for (const Split::Share& share : split_.shares) shares.push_back({share.device, share.layers.count()});
  segments_ = std::make_shared<DeviceSegments>(std::move(shares), split_.shares.front().layers.first, mutex_);
}

Result<std::unique_ptr<SplitModel>> SplitModel::create(const Config& config, const Weights& weights, Split split, const CancelToken& cancel) {
  std::unique_ptr<SplitModel> model(new SplitModel(std::move(split)));
  const Split& own = model->split_;
  for (size_t s = 0; s < own.shares.size(); ++s) {
    const Placement placement{own.shares[s].layers, s, own.batch_tokens, own.on_cpu, own.cpu_experts, own.shares[s].expert_cache};
    WENQU_ASSIGN_OR_RETURN(std::unique_ptr<DeviceModel> part, DeviceModel::create(own.shares[s].device, config, weights, placement, cancel));
    model->parts_.push_back(std::move(part));
  }
  return model;
}

std::string SplitModel::name() const {
  std::string names;
  for (const Split::Share& share : split_.shares) names += (names.empty() ? "" : ", ") + share.device->info().name;
  return names;
}

DeviceModel::ExpertsUsed SplitModel::experts_used() const {
  const std::lock_guard lock(*mutex_);
  DeviceModel::ExpertsUsed all;
  for (const std::unique_ptr<DeviceModel>& part : parts_) {
    const DeviceModel::ExpertsUsed used = part->experts_used();
    all.here += used.here, all.there += used.there;
  }
  return all;
}

double SplitModel::copy_bandwidth() const {
  const std::lock_guard lock(*mutex_);
  return parts_.front()->copy_bandwidth();
}

Status SplitModel::forward(std::span<const Sequence> sequences, const CancelToken& cancel) {
  if (sequences.empty()) return {};
  std::vector<Sequence> batch(sequences.begin(), sequences.end());
  parts_.front()->put_in_order(batch);   // which is each part's own
  std::vector<Segment*> pages;
  for (const Sequence& sequence : batch)
    for (size_t p = 0; p * KvCache::kSegmentTokens < sequence.position + sequence.tokens.size(); ++p) pages.push_back(&sequence.cache->data(p));
  WENQU_ASSIGN_OR_RETURN(const DeviceSegments::Hold hold, segments_->hold(pages));
  const std::lock_guard lock(*mutex_);
  DeviceModel::States before;
  if (const size_t first = split_.shares.front().layers.first; first > 0) {
    WENQU_RETURN_IF_ERROR(split_.cpu_layers(batch, first, states_, cancel));
    before.host = states_.data();
  }
  for (const std::unique_ptr<DeviceModel>& part : parts_) {
    WENQU_RETURN_IF_ERROR(part->forward(batch, before, cancel));
    before = {nullptr, part.get()};
  }
  size_t tokens = 0;
  for (const Sequence& sequence : batch) tokens += sequence.tokens.size();
  for (const std::unique_ptr<DeviceModel>& part : parts_) WENQU_RETURN_IF_ERROR(part->keep_up(tokens));
  return cancel.status();
}

}  // namespace wenqu::engine::device
