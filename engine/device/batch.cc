#include "engine/device/batch.h"

#include <algorithm>
#include <bit>

#include "engine/device/segments.h"
#include "engine/ops/rope.h"

namespace wenqu::engine::device {

size_t Batches::put_expanded_last(std::vector<Sequence>& order) const {
  const size_t scratch = expansion_scratch(config_, placement_.batch_tokens);
  if (scratch == 0) return order.size();
  const cuda::LatentShape shape = latent_shape(config_);
  size_t pages = 0;
  const auto absorbed = std::stable_partition(order.begin(), order.end(), [&](const Sequence& sequence) {
    if (sequence.deterministic || !cuda::expansion_pays(shape, sequence.position, sequence.tokens.size())) return true;
    const size_t more = (sequence.position + sequence.tokens.size() + cuda::kPageTokens - 1) / cuda::kPageTokens;
    if (cuda::expansion_bytes(shape, pages + more) > scratch) return true;
    pages += more;
    return false;
  });
  return static_cast<size_t>(absorbed - order.begin());
}

// The rows that a sequence, whose first token is the batch's `first`, wants something of. Those of which the best logits may be
// enough are computed together, so that all of them can be had where they are not.
void Batches::add_rows(const Sequence& sequence, size_t first, Batch& batch) const {
  const size_t end = first + sequence.tokens.size();
  if (sequence.wanted == Sequence::Logits::none && !sequence.state) return;
  const size_t from = sequence.wanted == Sequence::Logits::all ? first : end - 1, begin = batch.rows.size();
  if (batch.passes.empty()) batch.passes.push_back(0);
  if (begin - batch.passes.back() + end - from > Scratch::kLogitRows && begin > batch.passes.back()) batch.passes.push_back(begin);
  for (size_t i = from; i < end; ++i) {
    if (batch.rows.size() - batch.passes.back() == Scratch::kLogitRows) batch.passes.push_back(batch.rows.size());
    batch.rows.push_back(static_cast<int32_t>(i));
    cuda::BestWanted wanted{1, 1, 0};
    if (takes_best(sequence)) {
      const TopRequest& request = *sequence.request;
      static_assert(cuda::kMostBest == TopLogits::kMost);
      const size_t numbers = request.numbers > 0 ? std::min<size_t>(request.numbers, config_.vocabulary) : config_.vocabulary;
      wanted = {static_cast<int32_t>(std::clamp<size_t>(request.count, 1, TopLogits::kMost)), static_cast<int32_t>(numbers),
                request.temperature > 0 ? 1 / request.temperature : 0};
      batch.most_best = std::max(batch.most_best, static_cast<size_t>(wanted.count));
    }
    batch.wanted.push_back(wanted);
  }
}

size_t Batches::tell(size_t absorbed, Batch& batch, Told& told) const {
  size_t longest = 0;
  for (size_t s = 0; s < batch.order.size(); ++s) {
    const Sequence& sequence = batch.order[s];
    if (sequence.deterministic) batch.kind = cuda::Rows::alike;
    told.first_page.push_back(static_cast<int32_t>(told.pages.size()));
    const size_t end = sequence.position + sequence.tokens.size();
    if (s < absorbed) longest = std::max(longest, end), batch.planned += sequence.tokens.size();
    for (size_t p = 0; p * KvCache::kSegmentTokens < end; ++p) told.pages.push_back(DeviceSegments::part(sequence.cache->data(p), placement_.share));
    const size_t first = told.tokens.size();
    for (size_t i = 0; i < sequence.tokens.size(); ++i) {
      told.tokens.push_back(sequence.tokens[i]);
      told.positions.push_back(sequence.position + i);
      told.places.push_back({static_cast<int32_t>(s), static_cast<int32_t>(sequence.position + i)});
    }
    if (placement_.has_last(config_)) add_rows(sequence, first, batch);
  }
  batch.tokens = told.tokens.size(), batch.sequences = batch.order.size();
  batch.passes.push_back(batch.rows.size());
  return longest;
}

Result<Batch> Batches::describe(std::span<const Sequence> unordered, const Scratch& scratch) {
  Batch batch;
  batch.order.assign(unordered.begin(), unordered.end());
  batch.kv = batch.order.front().cache->shape();
  Told told;
  const size_t longest = tell(put_expanded_last(batch.order), batch, told);
  const std::span<const cuda::Place> places = told.places;
  // Rounded up, so that a plan and what was recorded for it serve for a while.
  WENQU_ASSIGN_OR_RETURN(batch.plan, cuda::attention_plan(attention_shape(config_), places.first(batch.planned), as_int(std::bit_ceil(longest)),
                                                          device_->info(), batch.kind == cuda::Rows::alike, scratch.partial_numbers));
  if (batch.planned < batch.tokens) {
    WENQU_ASSIGN_OR_RETURN(batch.expansion, cuda::expansion_plan(latent_shape(config_), places.subspan(batch.planned), batch.sequences, scratch.expansion,
                                                                 expansion_scratch(config_, placement_.batch_tokens), device_->info(), scratch.partial_numbers));
  }
  WENQU_RETURN_IF_ERROR(place_tables(told, batch));
  return batch;
}

Status Batches::grow_tables(size_t bytes) {
  if (bytes <= table_memory_.bytes()) return {};
  ++moves_;
  table_memory_ = {};
  // In steps, so that it moves seldom; of what is large, steps of an eighth.
  constexpr size_t kLarge = size_t{16} << 20;
  const size_t step = bytes < kLarge ? std::bit_ceil(bytes) : std::bit_floor(bytes) / 8;
  WENQU_ASSIGN_OR_RETURN(table_memory_, Memory::allocate(device_, (bytes + step - 1) / step * step));
  return {};
}

Status Batches::place_tables(const Told& told, Batch& batch) {
  const ops::RopeTable rope(config_.rope.frequencies, config_.rope.magnitude, told.positions);
  const cuda::ExpansionPlan& expansion = batch.expansion;
  const Tables::Counts counts{batch.tokens, batch.sequences, config_.rope.frequencies.size(), batch.rows.size(), batch.plan.tiles.size(), expansion.attention.tiles.size(),
                              expansion.tiles.size(), expansion.pages.size(), told.pages.size()};
  Parts counting(nullptr);
  const Tables sizes(counting, counts);
  WENQU_RETURN_IF_ERROR(grow_tables(counting.bytes()));
  host_tables_.resize(counting.bytes());
  const auto fill = [&](const Tables& to) {
    std::copy(told.tokens.begin(), told.tokens.end(), to.tokens);
    std::copy(told.places.begin(), told.places.end(), to.places);
    std::copy(told.first_page.begin(), told.first_page.end(), to.first_page);
    std::copy(rope.cosines().begin(), rope.cosines().end(), to.cosines);
    std::copy(rope.sines().begin(), rope.sines().end(), to.sines);
    std::copy(batch.rows.begin(), batch.rows.end(), to.rows);
    std::copy(batch.wanted.begin(), batch.wanted.end(), to.wanted);
    std::copy(batch.plan.tiles.begin(), batch.plan.tiles.end(), to.tiles);
    std::copy(expansion.attention.tiles.begin(), expansion.attention.tiles.end(), to.expanded_tiles);
    std::copy(expansion.tiles.begin(), expansion.tiles.end(), to.latent_tiles);
    std::copy(expansion.first_page.begin(), expansion.first_page.end(), to.expanded_first_page);
    std::copy(expansion.pages.begin(), expansion.pages.end(), to.expanded_pages);
    std::copy(told.pages.begin(), told.pages.end(), to.pages);
  };
  const auto place = [&](std::byte* memory) {
    Parts parts(memory);
    return Tables(parts, counts);
  };
  fill(place(host_tables_.data()));
  WENQU_RETURN_IF_ERROR(device_->upload(table_memory_.data(), host_tables_.data(), host_tables_.size()));
  batch.tables = place(table_memory_.data());
  return {};
}

}  // namespace wenqu::engine::device
