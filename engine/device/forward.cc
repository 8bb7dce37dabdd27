#include "engine/device/forward.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <cstring>
#include <iterator>
#include <map>
#include <numeric>
#include <optional>
#include <tuple>
#include <vector>

#include "engine/cuda/attention.h"
#include "engine/cuda/expansion.h"
#include "engine/cuda/kernel_list.h"
#include "engine/cuda/products.h"
#include "engine/device/expert_cache.h"
#include "engine/device/memory.h"
#include "engine/device/scratch.h"
#include "engine/device/segments.h"
#include "engine/device/weights.h"
#include "engine/ops/rope.h"

namespace wenqu::engine::device {
namespace {

using cuda::Device;
using cuda::Input;
using cuda::launch;
using cuda::Place;
using cuda::Rounded;

cuda::FeedForward feed_forward_of(const DeviceMatrix& gate, const DeviceMatrix& up, const DeviceMatrix& down, size_t experts) {
  return {gate.stack, up.stack, down.stack, gate.type, up.type, down.type, as_int(experts)};
}

// The shapes alone, where the weights are not on the device yet.
cuda::FeedForward shape_of(const Matrix& gate, const Matrix& up, const Matrix& down, size_t experts) {
  const auto stack = [](const Matrix& m) { return cuda::Stack{nullptr, 0, 0, as_int(m.inputs), as_int(m.outputs)}; };
  return {stack(gate), stack(up), stack(down), gate.type, up.type, down.type, as_int(experts)};
}

// With `cached` experts of those that stay with the CPU on the device.
size_t largest_feed_forward(const Config& config, const Weights& weights, const Placement& placement, size_t cached) {
  size_t bytes = 0;
  const size_t experts = config.moe.router.experts, tokens = placement.batch_tokens;
  for (size_t l = placement.layers.first; l < placement.layers.end; ++l) {
    const Layer& layer = weights.layers[l];
    const cuda::FeedForward dense = shape_of(layer.gate, layer.up, layer.down, 1);
    if (layer.gate) bytes = std::max(bytes, cuda::feed_forward_scratch(dense, as_int(tokens), 1));
    const size_t there = !layer.is_moe ? 0 : layer.mixture >= placement.on_cpu ? experts : cached;
    if (there == 0) continue;
    const cuda::FeedForward routed = shape_of(layer.expert_gate, layer.expert_up, layer.expert_down, there);
    const int used = as_int(config.moe.router.used);
    bytes = std::max(bytes, layer.gate ? cuda::experts_scratch(routed, dense, as_int(tokens), used) : cuda::feed_forward_scratch(routed, as_int(tokens), used));
  }
  return bytes;
}

WeightChoice choice_of(const Placement& placement) { return {placement.layers.first, placement.layers.end, placement.on_cpu}; }

// As BestOfRow tells it.
TopLogits top_of(std::span<const cuda::Word2> told, const TopRequest& request) {
  TopLogits top;
  const int count = static_cast<int>(told[0].x);
  for (int i = 0; i < count; ++i) {
    const cuda::Word2& one = told[static_cast<size_t>(1 + i)];
    top.best.emplace_back(std::bit_cast<float>(one.x), static_cast<int32_t>(one.y));
  }
  top.all = count >= 0 && static_cast<size_t>(count) < request.count;
  top.temperature = request.temperature;
  top.total = std::bit_cast<float>(told[0].y);
  return top;
}

// Experts that a cache may hold: all that stay with the CPU.
size_t most_cached(const Config& config, const Weights& weights, const Placement& placement) {
  size_t layers = 0;
  for (size_t l = placement.layers.first; l < placement.layers.end; ++l) layers += weights.layers[l].is_moe && weights.layers[l].mixture < placement.on_cpu ? 1 : 0;
  return layers > 0 ? 1 + layers * config.moe.router.experts : 0;
}

}  // namespace

class DeviceModel::Implementation {
 public:
  Implementation(std::shared_ptr<Device> device, const Config& config, Placement placement)
      : device_(std::move(device)), config_(config), placement_(std::move(placement)) {}
  ~Implementation() {
    for (const auto& [key, graph] : recorded_) device_->discard(graph);
  }

  Status start(const Weights& weights, const CancelToken& cancel) {
    const DeviceNeeds needs = DeviceModel::needs(config_, weights, placement_);
    if (needs.total() > device_->free_bytes()) {
      constexpr double kMiB = 1 << 20;
      return Status(StatusCode::out_of_memory,
                    fmt_needs(static_cast<double>(needs.weights) / kMiB, static_cast<double>(needs.scratch) / kMiB, static_cast<double>(device_->free_bytes()) / kMiB),
                    device_->info().name);
    }
    // Attention that the kernels cannot do is told at once, not at the first question.
    const std::vector<Place> one(1);
    if (Result<cuda::AttentionPlan> plan = cuda::attention_plan(attention_shape(), one, 1, device_->info()); !plan) return plan.status();
    const ops::RouterConfig& router = config_.moe.router;
    if (router.experts > cuda::kMostExperts || router.used > cuda::kMostUsed)
      return Status(StatusCode::unsupported, "more experts than a GPU's router chooses among: run the model on the CPU");
    WENQU_ASSIGN_OR_RETURN(weights_, upload(device_, weights, config_, choice_of(placement_), cancel));
    WENQU_ASSIGN_OR_RETURN(cache_, ExpertCache::create(device_, config_, weights, placement_, placement_.expert_cache));
    Parts counting(nullptr);
    const size_t feed_forward = largest_feed_forward(config_, weights, placement_, cache_ ? cache_->places() : 0);
    const Scratch counted(counting, config_, placement_.batch_tokens, feed_forward, is_last());
    WENQU_ASSIGN_OR_RETURN(scratch_memory_, Memory::allocate(device_, counting.bytes()));
    Parts parts(scratch_memory_.data());
    scratch_.emplace(parts, config_, placement_.batch_tokens, feed_forward, is_last());
    WENQU_RETURN_IF_ERROR(device_->clear(scratch_->arrived, placement_.batch_tokens * sizeof(uint32_t)));
    for (size_t l = placement_.layers.first; l < placement_.layers.end; ++l)
      experts_on_cpu_ |= weights.layers[l].is_moe && weights.layers[l].mixture < placement_.on_cpu;
    return {};
  }

  Device& device() { return *device_; }
  const std::shared_ptr<Device>& shared_device() const { return device_; }
  const float* states() const { return scratch_->hidden; }
  ExpertCache* cache() const { return cache_.get(); }

  // How many sequences keep the absorbed form: those that stand first then.
  size_t put_expanded_last(std::vector<Sequence>& order) const;
  Status forward(std::span<const Sequence> batch, const States& before, const CancelToken& cancel);

 private:
  struct Batch {
    std::vector<Sequence> order;   // those whose latents are expanded stand last
    size_t tokens = 0, sequences = 0;
    KvShape kv;
    size_t planned = 0;            // tokens that `plan` sees to: the first
    cuda::AttentionPlan plan;
    cuda::ExpansionPlan expansion;   // of the others; no tiles where there are none
    std::vector<int32_t> rows;  // tokens whose logits or states are wanted, in order
    std::vector<cuda::BestWanted> wanted;   // [rows], of those whose best logits may be enough
    size_t most_best = 0;       // of them; 0: all are wanted
    // Of deterministic sequences, a row's result must not depend on what is beside it.
    cuda::Rows kind = cuda::Rows::fastest;
    std::vector<size_t> passes; // where the rows begin that are computed at a time, and where the last ones end
    size_t rows_at_once() const { return passes.size() == 2 ? rows.size() : 0; }   // which a recording computes too
    bool all_rows() const { return rows_at_once() == tokens; }                       // as they lie
  };
  // What a recorded batch is the same in; all else is in the tables.
  using Key = std::tuple<size_t, size_t, KvType, int, int, int, int, size_t, size_t, size_t, cuda::Rows>;
  static constexpr size_t kRecordedTokens = 8, kMostRecorded = 32;

  static bool takes_best(const Sequence& sequence) {
    return sequence.request && sequence.top && sequence.wanted != Sequence::Logits::none && sequence.tokens.size() <= Scratch::kLogitRows;
  }
  bool is_last() const { return placement_.layers.end == config_.layers; }
  static std::string fmt_needs(double weights, double scratch, double free);

  cuda::AttentionShape attention_shape() const {
    if (!config_.has_mla()) return {as_int(config_.heads), as_int(config_.kv_heads), as_int(config_.head), as_int(config_.head), false};
    return {as_int(config_.heads), 1, as_int(size_t{config_.mla.kv_lora} + config_.mla.rope), as_int(config_.mla.kv_lora), true};
  }

  Result<Batch> describe(std::span<const Sequence> batch);
  void add_rows(const Sequence& sequence, size_t first, Batch& batch) const;
  Status layers(const Batch& batch, const CancelToken& cancel);
  Status run(const Batch& batch, const CancelToken& cancel);
  Status logits(const Batch& batch, size_t pass);
  Status give(const Batch& batch, std::span<const Sequence> sequences);
  Status give_pass(const Batch& batch, size_t pass, std::span<const Sequence> sequences);

  Input normed() const { return {scratch_->normed, as_int(config_.embedding), scratch_->rounded.q, scratch_->rounded.scales, scratch_->rounded.stride}; }
  // What a part of a layer gave is added, and what comes of it normed for the next part.
  cuda::NormRows norm_rows(const float* weight) const {
    const Scratch& s = *scratch_;
    return {s.hidden, s.delta, weight, s.normed, s.rounded, as_int(config_.embedding), config_.rms_epsilon};
  }
  cuda::NormAfter then(const float* weight) const { return {norm_rows(weight), scratch_->arrived}; }
  static cuda::Product product(const DeviceMatrix& matrix, float* out, const float* bias = nullptr) {
    return {matrix.stack, matrix.type, out, matrix.stack.outputs, bias};
  }
  Status multiply(const DeviceMatrix& matrix, const Input& x, size_t tokens, cuda::Rows kind, float* out) {
    return cuda::multiply(*device_, matrix.stack, matrix.type, x, as_int(tokens), 1, out, matrix.stack.outputs, nullptr, kind);
  }
  // Rows of `n` numbers, value_stride apart.
  Status round(const float* values, size_t rows, size_t value_stride, size_t n, Rounded& to) {
    to.stride = as_int(padded(n));
    return launch<cuda::RoundRows>(*device_, {as_unsigned(rows), as_unsigned((padded(n) / cuda::kBlock + cuda::RoundRows::kBlocks - 1) / cuda::RoundRows::kBlocks)},
                                   {values, as_int(value_stride), as_int(n), to});
  }
  cuda::CacheRows cache_rows(const Batch& batch, size_t layer) const {
    const KvShape& kv = batch.kv;
    const size_t head_bytes = KvCache::kSegmentTokens * (kv.key_bytes() + kv.value_bytes());
    return {tables_->pages, tables_->first_page, (layer - placement_.layers.first) * kv.heads * head_bytes, as_int(kv.heads), as_int(kv.key), as_int(kv.value),
            as_int(kv.key_bytes()), as_int(kv.value_bytes()), kv.type};
  }
  cuda::Rotation rotation(size_t offset) const {
    return {tables_->cosines, tables_->sines, as_int(config_.rope.frequencies.size()), as_int(offset),
            config_.rope.pairing == ops::RopePairing::adjacent};
  }
  cuda::AttentionArguments attention_arguments(const Batch& batch, size_t layer, const float* queries, float* out) const {
    cuda::AttentionArguments arguments{};
    arguments.queries = queries, arguments.out = out;
    arguments.partial = partial_, arguments.partial_scale = partial_scale_;
    arguments.tiles = tables_->tiles, arguments.places = tables_->places;
    arguments.cache = cache_rows(batch, layer);
    arguments.scale = config_.attention_scale;
    return arguments;
  }
  Status attend(const Batch& batch, size_t layer, const float* queries, float* out, const Rounded& rounded) {
    const cuda::AttentionShape shape = attention_shape();
    cuda::AttentionArguments arguments = attention_arguments(batch, layer, queries, out);
    arguments.heads = arguments.row_heads = shape.heads, arguments.value = shape.value, arguments.values_are_keys = shape.values_are_keys;
    return cuda::attend(*device_, batch.plan, arguments, rounded);
  }
  // Rounds what each head of a token gave, where heads are whole blocks; else nothing.
  static Rounded by_head(const Rounded& rows, size_t n) { return n % cuda::kBlock == 0 ? Rounded{rows.q, rows.scales, as_int(n)} : Rounded(); }
  Status place_tokens(size_t tokens, const cuda::QueryRows& queries, const cuda::KeyRows& keys) {
    using cuda::PlaceTokens;
    const int blocks = cuda::divide_up(queries.heads, PlaceTokens::kHeads) + keys.cache.heads;
    return launch<PlaceTokens>(*device_, {static_cast<unsigned>(blocks), as_unsigned(tokens)}, {queries, keys},
                               static_cast<size_t>(PlaceTokens::shared_bytes(keys.cache.key)));
  }
  Status gqa(const Batch& batch, size_t l);
  Status mla(const Batch& batch, size_t l);
  Status attend_absorbed(const Batch& batch, size_t l);
  Status attend_expanded(const Batch& batch, size_t l);
  Status attention_output(const Batch& batch, const DeviceLayer& layer, size_t width, size_t rounded);
  Status feed_forward(const Batch& batch, size_t l, const cuda::NormAfter& after, const CancelToken& cancel);
  Status experts_on_cpu(const Batch& batch, size_t l, const CancelToken& cancel, const std::function<Status()>& meanwhile);

  const std::shared_ptr<Device> device_;
  const Config& config_;
  const Placement placement_;
  bool experts_on_cpu_ = false;    // of some of the layers
  std::unique_ptr<ExpertCache> cache_;   // of these; null: none
  DeviceWeights weights_;
  Memory scratch_memory_, table_memory_, partial_memory_;
  std::optional<Scratch> scratch_;
  std::optional<Tables> tables_;
  float* partial_ = nullptr;
  cuda::Float2* partial_scale_ = nullptr;
  std::vector<std::byte> host_tables_;
  std::vector<float> host_normed_, host_delta_;      // [tokens][embedding], of experts on the CPU
  std::vector<ops::ExpertChoice> host_choices_;      // [tokens][used]
  std::vector<cuda::Choice> host_here_;              // [tokens][used], of these that the device has
  std::vector<cuda::Word2> host_best_;               // [rows][1 + most_best]
  std::map<Key, Device::Graph*> recorded_;

  void forget_recorded() {
    for (const auto& [key, graph] : recorded_) device_->discard(graph);
    recorded_.clear();
  }
};

std::string DeviceModel::Implementation::fmt_needs(double weights, double scratch, double free) {
  return fmt::format("the model's weights need {:.0f} MiB on the GPU and a batch {:.0f} MiB, which has {:.0f} MiB free: run it on the CPU", weights,
                     scratch, free);
}

size_t DeviceModel::Implementation::put_expanded_last(std::vector<Sequence>& order) const {
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
void DeviceModel::Implementation::add_rows(const Sequence& sequence, size_t first, Batch& batch) const {
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

Result<DeviceModel::Implementation::Batch> DeviceModel::Implementation::describe(std::span<const Sequence> unordered) {
  Batch batch;
  batch.order.assign(unordered.begin(), unordered.end());
  const size_t absorbed = put_expanded_last(batch.order);
  const std::span<const Sequence> sequences = batch.order;
  batch.kv = sequences.front().cache->shape();
  std::vector<Place> places;
  std::vector<size_t> positions;
  std::vector<int32_t> tokens, first_page;
  std::vector<std::byte*> pages;
  size_t longest = 0;
  for (size_t s = 0; s < sequences.size(); ++s) {
    const Sequence& sequence = sequences[s];
    if (sequence.deterministic) batch.kind = cuda::Rows::alike;
    first_page.push_back(static_cast<int32_t>(pages.size()));
    const size_t end = sequence.position + sequence.tokens.size();
    if (s < absorbed) longest = std::max(longest, end), batch.planned += sequence.tokens.size();
    for (size_t p = 0; p * KvCache::kSegmentTokens < end; ++p) pages.push_back(DeviceSegments::part(sequence.cache->data(p), placement_.share));
    const size_t first = tokens.size();
    for (size_t i = 0; i < sequence.tokens.size(); ++i) {
      tokens.push_back(sequence.tokens[i]);
      positions.push_back(sequence.position + i);
      places.push_back({static_cast<int32_t>(s), static_cast<int32_t>(sequence.position + i)});
    }
    if (is_last()) add_rows(sequence, first, batch);
  }
  batch.tokens = tokens.size(), batch.sequences = sequences.size();
  batch.passes.push_back(batch.rows.size());
  // Rounded up, so that a plan and what was recorded for it serve for a while.
  WENQU_ASSIGN_OR_RETURN(batch.plan, cuda::attention_plan(attention_shape(), std::span(places).first(batch.planned),
                                                          as_int(std::bit_ceil(longest)), device_->info(), batch.kind == cuda::Rows::alike));
  if (batch.planned < batch.tokens) {
    WENQU_ASSIGN_OR_RETURN(batch.expansion,
                           cuda::expansion_plan(latent_shape(config_), std::span(places).subspan(batch.planned), batch.sequences, scratch_->expansion,
                                                expansion_scratch(config_, placement_.batch_tokens), device_->info()));
  }

  const ops::RopeTable rope(config_.rope.frequencies, config_.rope.magnitude, positions);
  const cuda::ExpansionPlan& expansion = batch.expansion;
  const Tables::Counts counts{batch.tokens, batch.sequences, config_.rope.frequencies.size(), batch.rows.size(), batch.plan.tiles.size(), expansion.attention.tiles.size(),
                              expansion.tiles.size(), expansion.pages.size(), pages.size()};
  Parts counting(nullptr);
  const Tables sizes(counting, counts);
  if (counting.bytes() > table_memory_.bytes()) {
    forget_recorded();   // they know the old place
    table_memory_ = {};
    WENQU_ASSIGN_OR_RETURN(table_memory_, Memory::allocate(device_, std::bit_ceil(counting.bytes())));
  }
  host_tables_.resize(counting.bytes());
  const auto fill = [&](const Tables& to) {
    std::copy(tokens.begin(), tokens.end(), to.tokens);
    std::copy(places.begin(), places.end(), to.places);
    std::copy(first_page.begin(), first_page.end(), to.first_page);
    std::copy(rope.cosines().begin(), rope.cosines().end(), to.cosines);
    std::copy(rope.sines().begin(), rope.sines().end(), to.sines);
    std::copy(batch.rows.begin(), batch.rows.end(), to.rows);
    std::copy(batch.wanted.begin(), batch.wanted.end(), to.wanted);
    std::copy(batch.plan.tiles.begin(), batch.plan.tiles.end(), to.tiles);
    std::copy(expansion.attention.tiles.begin(), expansion.attention.tiles.end(), to.expanded_tiles);
    std::copy(expansion.tiles.begin(), expansion.tiles.end(), to.latent_tiles);
    std::copy(expansion.first_page.begin(), expansion.first_page.end(), to.expanded_first_page);
    std::copy(expansion.pages.begin(), expansion.pages.end(), to.expanded_pages);
    std::copy(pages.begin(), pages.end(), to.pages);
  };
  const auto place = [&](std::byte* memory) {
    Parts parts(memory);
    return Tables(parts, counts);
  };
  fill(place(host_tables_.data()));
  WENQU_RETURN_IF_ERROR(device_->upload(table_memory_.data(), host_tables_.data(), host_tables_.size()));
  tables_ = place(table_memory_.data());

  // Both forms' in turn.
  const cuda::AttentionShape shape = attention_shape(), expanded = expansion.shape(latent_shape(config_));
  const size_t numbers = std::max(batch.plan.partial_numbers(shape), expansion.attention.partial_numbers(expanded));
  const size_t scales = std::max(batch.plan.partial_scales(shape), expansion.attention.partial_scales(expanded));
  Parts partial_sizes(nullptr);
  partial_sizes.take<float>(numbers);
  partial_sizes.take<cuda::Float2>(scales);
  if (partial_sizes.bytes() > partial_memory_.bytes()) {
    forget_recorded();
    partial_memory_ = {};
    WENQU_ASSIGN_OR_RETURN(partial_memory_, Memory::allocate(device_, std::bit_ceil(partial_sizes.bytes())));
  }
  Parts partials(partial_memory_.data());
  partial_ = partials.take<float>(numbers);
  partial_scale_ = partials.take<cuda::Float2>(scales);
  return batch;
}

// `rounded`: of the first so many tokens, what attention gave was rounded already.
Status DeviceModel::Implementation::attention_output(const Batch& batch, const DeviceLayer& layer, size_t width, size_t rounded) {
  Scratch& s = *scratch_;
  if (rounded < batch.tokens) {
    const size_t stride = padded(width);
    Rounded rest{s.rounded_attended.q + rounded * stride, s.rounded_attended.scales + rounded * (stride / cuda::kBlock), 0};
    WENQU_RETURN_IF_ERROR(round(s.attended + rounded * width, batch.tokens - rounded, width, width, rest));
  }
  const Input attended{s.attended, as_int(width), s.rounded_attended.q, s.rounded_attended.scales, as_int(padded(width))};
  const cuda::Product output[] = {product(layer.attention_output, s.delta)};
  return cuda::multiply(*device_, output, attended, as_int(batch.tokens), then(layer.ffn_norm), batch.kind);
}

// Grouped-query attention.
Status DeviceModel::Implementation::gqa(const Batch& batch, size_t l) {
  const DeviceLayer& layer = weights_.layers[l];
  Scratch& s = *scratch_;
  const size_t head = config_.head, heads = config_.heads, kv_heads = config_.kv_heads;
  const cuda::Product products[] = {product(layer.q, s.queries, layer.q_bias), product(layer.k, s.keys, layer.k_bias),
                                    product(layer.v, s.values, layer.v_bias)};
  WENQU_RETURN_IF_ERROR(cuda::multiply(*device_, products, normed(), as_int(batch.tokens), {}, batch.kind));
  const int row = as_int(kv_heads * head);
  WENQU_RETURN_IF_ERROR(
      place_tokens(batch.tokens, {s.queries, as_int(heads), as_int(head), {layer.q_norm, as_int(head), config_.rms_epsilon}, rotation(0)},
                   {s.keys, row, s.values, row, tables_->places, {layer.k_norm, as_int(head), config_.rms_epsilon}, rotation(0), cache_rows(batch, l)}));
  const Rounded rounded = by_head(s.rounded_attended, head);
  WENQU_RETURN_IF_ERROR(attend(batch, l, s.queries, s.attended, rounded));
  return attention_output(batch, layer, heads * head, rounded.q ? batch.tokens : 0);
}

// Multi-head latent attention (engine/ops/latent_attention.h).
Status DeviceModel::Implementation::mla(const Batch& batch, size_t l) {
  const DeviceLayer& layer = weights_.layers[l];
  const MlaConfig& m = config_.mla;
  Scratch& s = *scratch_;
  const size_t tokens = batch.tokens, heads = config_.heads, head = m.nope + m.rope, row = m.kv_lora + m.rope;
  const cuda::Product products[] = {m.q_lora > 0 ? product(layer.q_a, s.q_latent) : product(layer.q, s.queries), product(layer.kv_a, s.keys)};
  const cuda::NormRows q_norm{s.q_latent, nullptr, layer.q_a_norm, s.q_latent_normed, s.rounded_q_latent, as_int(m.q_lora), config_.rms_epsilon};
  WENQU_RETURN_IF_ERROR(cuda::multiply(*device_, products, normed(), as_int(tokens), m.q_lora > 0 ? cuda::NormAfter{q_norm, s.arrived} : cuda::NormAfter(), batch.kind));
  if (m.q_lora > 0) {
    const Input latent{s.q_latent_normed, as_int(m.q_lora), s.rounded_q_latent.q, s.rounded_q_latent.scales, s.rounded_q_latent.stride};
    WENQU_RETURN_IF_ERROR(multiply(layer.q_b, latent, tokens, batch.kind, s.queries));
  }
  s.rounded_heads.stride = as_int(padded(m.nope));
  WENQU_RETURN_IF_ERROR(place_tokens(
      tokens,
      {s.queries, as_int(heads), as_int(head), {}, rotation(m.nope), as_int(batch.planned), s.absorbed + m.kv_lora, as_int(row), s.rounded_heads},
      {s.keys, as_int(row), nullptr, 0, tables_->places, {layer.kv_a_norm, as_int(m.kv_lora), config_.rms_epsilon}, rotation(m.kv_lora),
       cache_rows(batch, l)}));
  WENQU_RETURN_IF_ERROR(attend_absorbed(batch, l));
  WENQU_RETURN_IF_ERROR(attend_expanded(batch, l));
  return attention_output(batch, layer, heads * m.value, m.value % cuda::kBlock == 0 ? batch.planned : 0);
}

// k_b carries each head's query into the latent space, v_b its result out.
Status DeviceModel::Implementation::attend_absorbed(const Batch& batch, size_t l) {
  if (batch.planned == 0) return {};
  const DeviceLayer& layer = weights_.layers[l];
  const MlaConfig& m = config_.mla;
  Scratch& s = *scratch_;
  const size_t tokens = batch.planned, heads = config_.heads, head = m.nope + m.rope, row = m.kv_lora + m.rope;
  const Input queries{s.queries, as_int(head), s.rounded_heads.q, s.rounded_heads.scales, as_int(padded(m.nope))};
  WENQU_RETURN_IF_ERROR(
      cuda::multiply(*device_, layer.k_b.stack, layer.k_b.type, queries, as_int(tokens), as_int(heads), s.absorbed, as_int(row), nullptr, batch.kind));
  const Rounded by_latent = by_head(s.rounded_heads, m.kv_lora);   // in the place of the queries
  WENQU_RETURN_IF_ERROR(attend(batch, l, s.absorbed, s.latents, by_latent));
  if (!by_latent.q) WENQU_RETURN_IF_ERROR(round(s.latents, tokens * heads, m.kv_lora, m.kv_lora, s.rounded_heads));
  const Input latents{s.latents, as_int(m.kv_lora), s.rounded_heads.q, s.rounded_heads.scales, as_int(padded(m.kv_lora))};
  if (m.value % cuda::kBlock == 0)
    return cuda::multiply_and_round(*device_, layer.v_b.stack, layer.v_b.type, latents, as_int(tokens), as_int(heads), s.attended,
                                    {s.rounded_attended.q, s.rounded_attended.scales, as_int(heads * m.value)}, batch.kind);
  return cuda::multiply(*device_, layer.v_b.stack, layer.v_b.type, latents, as_int(tokens), as_int(heads), s.attended, as_int(m.value), nullptr,
                        batch.kind);
}

// Keys and values of the sequences' tokens are made of the latents in the cache, and attended to.
Status DeviceModel::Implementation::attend_expanded(const Batch& batch, size_t l) {
  const size_t first = batch.planned;
  if (first == batch.tokens) return {};
  const DeviceLayer& layer = weights_.layers[l];
  const size_t heads = config_.heads, head = size_t{config_.mla.nope} + config_.mla.rope;
  cuda::AttentionArguments arguments =
      attention_arguments(batch, l, scratch_->queries + first * heads * head, scratch_->attended + first * heads * config_.mla.value);
  arguments.tiles = tables_->expanded_tiles, arguments.places = tables_->places + first;
  return cuda::attend_expanded(*device_, batch.expansion, latent_shape(config_), {layer.k_b.stack, layer.v_b.stack, layer.k_b.type, layer.v_b.type},
                               {tables_->latent_tiles, tables_->expanded_pages, tables_->expanded_first_page}, scratch_->expansion, arguments);
}

// The part of a layer behind attention: a dense feed-forward, or the chosen experts and the shared ones.
Status DeviceModel::Implementation::feed_forward(const Batch& batch, size_t l, const cuda::NormAfter& after, const CancelToken& cancel) {
  Scratch& s = *scratch_;
  const DeviceLayer& layer = weights_.layers[l];
  const int tokens = as_int(batch.tokens);
  const auto dense_or_shared = [&](const cuda::NormAfter& then) -> Status {
    if (!layer.gate) return {};
    return cuda::feed_forward(*device_, feed_forward_of(layer.gate, layer.up, layer.down, 1), normed(), tokens, nullptr, 1, s.delta,
                              false, s.feed_forward, then, batch.kind);
  };
  if (!layer.is_moe) return dense_or_shared(after);
  const ops::RouterConfig& router = config_.moe.router;
  WENQU_RETURN_IF_ERROR(cuda::route(
      *device_, layer.router.stack, layer.router.type, normed(), tokens, s.scores,
      {nullptr, layer.router_bias, as_int(router.experts), as_int(router.used), router.gating == ops::RouterConfig::Gating::sigmoid,
       router.normalize, router.scale, as_int(router.groups), as_int(router.groups_used), s.choices},
      s.arrived, batch.kind));
  if (!layer.expert_gate) {
    WENQU_RETURN_IF_ERROR(experts_on_cpu(batch, l, cancel, [&] { return dense_or_shared({}); }));
    return after.rows.weight ? launch<cuda::RmsNorm>(*device_, {as_unsigned(batch.tokens)}, after.rows) : Status();
  }
  const cuda::FeedForward routed = feed_forward_of(layer.expert_gate, layer.expert_up, layer.expert_down, router.experts);
  if (layer.gate)
    return cuda::experts(*device_, routed, feed_forward_of(layer.gate, layer.up, layer.down, 1), normed(), tokens, s.choices, as_int(router.used),
                         s.delta, s.feed_forward, after, batch.kind);
  return cuda::feed_forward(*device_, routed, normed(), tokens, s.choices, as_int(router.used), s.delta, false, s.feed_forward, after,
                            batch.kind);
}

// The device computes the shared experts while the CPU computes the chosen ones.
Status DeviceModel::Implementation::experts_on_cpu(const Batch& batch, size_t l, const CancelToken& cancel, const std::function<Status()>& meanwhile) {
  Scratch& s = *scratch_;
  const size_t numbers = batch.tokens * config_.embedding, places = batch.tokens * config_.moe.router.used;
  static_assert(sizeof(cuda::Choice) == sizeof(ops::ExpertChoice) && sizeof(ops::ExpertChoice) == 8);
  host_normed_.resize(numbers), host_choices_.resize(places);
  host_delta_.assign(numbers, 0.0f);
  WENQU_RETURN_IF_ERROR(device_->download(host_choices_.data(), s.choices, places * sizeof(cuda::Choice)));
  WENQU_RETURN_IF_ERROR(device_->download(host_normed_.data(), s.normed, numbers * sizeof(float)));
  // Which experts are on the device depends on what was read before: not for sequences that are to be the same ever.
  size_t here = 0;
  if (cache_ && batch.kind == cuda::Rows::fastest) {
    host_here_.resize(places);
    here = cache_->divide(l, host_choices_, host_here_);
    if (here > 0) WENQU_RETURN_IF_ERROR(device_->upload(s.choices, host_here_.data(), places * sizeof(cuda::Choice)));
  }
  WENQU_RETURN_IF_ERROR(meanwhile());
  bool computed = static_cast<bool>(weights_.layers[l].gate);
  if (here > 0) {
    WENQU_RETURN_IF_ERROR(cuda::feed_forward(*device_, cache_->weights(l), normed(), as_int(batch.tokens), s.choices, as_int(config_.moe.router.used), s.delta,
                                             computed, s.feed_forward));
    computed = true;
  }
  if (here == places) return {};
  WENQU_RETURN_IF_ERROR(placement_.cpu_experts(l, host_normed_, host_choices_, host_delta_, cancel));
  if (!computed) return device_->upload(s.delta, host_delta_.data(), numbers * sizeof(float));
  WENQU_RETURN_IF_ERROR(device_->upload(s.from_cpu, host_delta_.data(), numbers * sizeof(float)));
  return launch<cuda::AddRows>(*device_, {as_unsigned((numbers + cuda::AddRows::kNumbers - 1) / cuda::AddRows::kNumbers)}, {s.from_cpu, s.delta, numbers});
}

Status DeviceModel::Implementation::layers(const Batch& batch, const CancelToken& cancel) {
  Scratch& s = *scratch_;
  const LayerRange& own = placement_.layers;
  if (own.first == 0)
    WENQU_RETURN_IF_ERROR(cuda::embed(*device_, weights_.embedding.stack, weights_.embedding.type, tables_->tokens, as_int(batch.tokens), s.hidden));
  cuda::NormRows first = norm_rows(weights_.layers[own.first].attention_norm);
  first.delta = nullptr;
  WENQU_RETURN_IF_ERROR(launch<cuda::RmsNorm>(*device_, {as_unsigned(batch.tokens)}, first));
  for (size_t l = own.first; l < own.end; ++l) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    WENQU_RETURN_IF_ERROR(config_.has_mla() ? mla(batch, l) : gqa(batch, l));
    cuda::NormAfter after;
    if (l + 1 < own.end) after = then(weights_.layers[l + 1].attention_norm);
    else if (is_last()) after = then(weights_.output_norm);
    WENQU_RETURN_IF_ERROR(feed_forward(batch, l, after, cancel));
  }
  if (!is_last()) {   // the next layers begin with what these have made of the states
    const size_t numbers = batch.tokens * config_.embedding;
    return launch<cuda::AddRows>(*device_, {as_unsigned((numbers + cuda::AddRows::kNumbers - 1) / cuda::AddRows::kNumbers)}, {s.delta, s.hidden, numbers});
  }
  // A batch of decoding takes all its logits at once; others take theirs in give().
  return batch.rows_at_once() > 0 ? logits(batch, 0) : Status();
}

// The logits of some of the rows, and the best of these.
Status DeviceModel::Implementation::logits(const Batch& batch, size_t pass) {
  Scratch& s = *scratch_;
  const size_t first = batch.passes[pass], rows = batch.passes[pass + 1] - first, d = config_.embedding;
  Input x = normed();
  if (!batch.all_rows()) {
    WENQU_RETURN_IF_ERROR(launch<cuda::TakeRows>(
        *device_, {as_unsigned(rows), as_unsigned((d + cuda::TakeRows::kNumbers - 1) / cuda::TakeRows::kNumbers)},
        {s.hidden, tables_->rows + first, s.taken, as_int(d)}));
    WENQU_RETURN_IF_ERROR(launch<cuda::RmsNorm>(*device_, {as_unsigned(rows)},
                                                {s.taken, nullptr, weights_.output_norm, s.taken_normed, s.rounded_taken, as_int(d), config_.rms_epsilon}));
    x = {s.taken_normed, as_int(d), s.rounded_taken.q, s.rounded_taken.scales, s.rounded_taken.stride};
  }
  WENQU_RETURN_IF_ERROR(multiply(weights_.output, x, rows, batch.kind, s.logits));
  if (batch.most_best == 0) return {};
  return cuda::best_logits(*device_, s.logits, as_int(rows), as_int(config_.vocabulary), tables_->wanted + first, as_int(batch.most_best), s.best_scratch,
                           s.best);
}

Status DeviceModel::Implementation::run(const Batch& batch, const CancelToken& cancel) {
  if (batch.tokens > kRecordedTokens || batch.planned < batch.tokens || experts_on_cpu_) return layers(batch, cancel);
  const Key key{batch.tokens, batch.sequences, batch.kv.type, batch.plan.kernel, batch.plan.splits, batch.plan.split_keys, batch.plan.buffers,
                batch.plan.tiles.size(), batch.rows_at_once(), batch.most_best, batch.kind};
  auto found = recorded_.find(key);
  if (found == recorded_.end()) {
    if (recorded_.size() >= kMostRecorded) forget_recorded();
    WENQU_RETURN_IF_ERROR(device_->begin_recording());
    const Status status = layers(batch, {});   // recording computes nothing: there is nothing to wait for
    const Result<Device::Graph*> graph = device_->end_recording();
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

// Gives the sequences their logits and states.
Status DeviceModel::Implementation::give(const Batch& batch, std::span<const Sequence> sequences) {
  for (size_t pass = 0; pass + 1 < batch.passes.size(); ++pass) {
    if (batch.rows_at_once() == 0) WENQU_RETURN_IF_ERROR(logits(batch, pass));
    if (batch.most_best > 0) {
      host_best_.resize((batch.passes[pass + 1] - batch.passes[pass]) * (1 + batch.most_best));
      WENQU_RETURN_IF_ERROR(device_->download(host_best_.data(), scratch_->best, host_best_.size() * sizeof(cuda::Word2)));
    }
    WENQU_RETURN_IF_ERROR(give_pass(batch, pass, sequences));
  }
  return {};
}

// What the sequences want of some of the rows.
Status DeviceModel::Implementation::give_pass(const Batch& batch, size_t pass, std::span<const Sequence> sequences) {
  Scratch& s = *scratch_;
  const size_t vocabulary = config_.vocabulary, d = config_.embedding, begin = batch.passes[pass], end = batch.passes[pass + 1];
  size_t row = 0;   // of batch.rows
  for (const Sequence& sequence : sequences) {
    const size_t all = sequence.wanted == Sequence::Logits::all ? sequence.tokens.size() : sequence.wanted == Sequence::Logits::last || sequence.state ? 1 : 0;
    const size_t first = std::max(row, begin), last = std::min(row + all, end);
    row += all;
    if (first >= last) continue;
    if (sequence.state && last == row) {
      std::vector<float>& state = *sequence.state;
      state.resize(state.size() + d);
      const float* const from = (batch.all_rows() ? s.normed : s.taken_normed) + (last - 1 - begin) * d;
      WENQU_RETURN_IF_ERROR(device_->download(state.data() + state.size() - d, from, d * sizeof(float)));
    }
    if (sequence.wanted == Sequence::Logits::none) continue;
    if (takes_best(sequence)) {
      std::vector<TopLogits> best;
      for (size_t r = first; r < last; ++r) {
        best.push_back(top_of(std::span(host_best_).subspan((r - begin) * (1 + batch.most_best), 1 + batch.most_best), *sequence.request));
        if (!sequence.request->enough(best.back())) break;
      }
      if (best.size() == all && sequence.request->enough(best.back())) {
        std::move(best.begin(), best.end(), std::back_inserter(*sequence.top));
        continue;
      }
    }
    std::vector<float>& logits = *sequence.logits;
    const size_t before = logits.size();
    logits.resize(before + (last - first) * vocabulary);
    WENQU_RETURN_IF_ERROR(device_->download(logits.data() + before, s.logits + (first - begin) * vocabulary, (last - first) * vocabulary * sizeof(float)));
  }
  return {};
}

Status DeviceModel::Implementation::forward(std::span<const Sequence> sequences, const States& before, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const Batch batch, describe(sequences));
  const size_t state_bytes = batch.tokens * config_.embedding * sizeof(float);
  if (before.host) WENQU_RETURN_IF_ERROR(device_->upload(scratch_->hidden, before.host, state_bytes));
  if (before.device) {
    Implementation& other = *before.device->implementation_;
    WENQU_RETURN_IF_ERROR(device_->receive(scratch_->hidden, other.device(), other.states(), state_bytes));
  }
  WENQU_RETURN_IF_ERROR(run(batch, cancel));
  if (!is_last()) return {};
  WENQU_RETURN_IF_ERROR(give(batch, batch.order));
  return device_->synchronize();   // the caches are complete now: other devices' are, when their states have been received
}

DeviceNeeds DeviceModel::needs(const Config& config, const Weights& weights, const Placement& placement) {
  Parts parts(nullptr);
  const size_t cached = placement.expert_cache > 0 ? most_cached(config, weights, placement) : 0;
  const Scratch counted(parts, config, placement.batch_tokens, largest_feed_forward(config, weights, placement, cached), placement.layers.end == config.layers);
  return {device_weight_bytes(weights, config, choice_of(placement)), parts.bytes()};
}

size_t DeviceModel::layer_bytes(const Config& config, const Weights& weights, size_t layer, size_t on_cpu) {
  return device_layer_bytes(weights, config, layer, on_cpu);
}

Result<std::unique_ptr<DeviceModel>> DeviceModel::create(std::shared_ptr<Device> device, const Config& config, const Weights& weights,
                                                         Placement placement, const CancelToken& cancel) {
  auto implementation = std::make_unique<Implementation>(std::move(device), config, std::move(placement));
  WENQU_RETURN_IF_ERROR(implementation->start(weights, cancel));
  return std::unique_ptr<DeviceModel>(new DeviceModel(std::move(implementation)));
}

DeviceModel::DeviceModel(std::unique_ptr<Implementation> implementation) : implementation_(std::move(implementation)) {}
DeviceModel::~DeviceModel() = default;

void DeviceModel::put_in_order(std::vector<Sequence>& batch) const { implementation_->put_expanded_last(batch); }
Status DeviceModel::keep_up(size_t tokens) { return implementation_->cache() ? implementation_->cache()->keep_up(tokens) : Status(); }
DeviceModel::ExpertsUsed DeviceModel::experts_used() const {
  const ExpertCache* const cache = implementation_->cache();
  return cache ? ExpertsUsed{cache->hits(), cache->misses()} : ExpertsUsed{};
}

const std::shared_ptr<Device>& DeviceModel::device() const { return implementation_->shared_device(); }

double DeviceModel::copy_bandwidth() const {
  constexpr size_t kBytes = size_t{256} << 20;   // more than any cache holds
  constexpr int kRounds = 10;
  Device& device = implementation_->device();
  Result<Memory> from = Memory::allocate(implementation_->shared_device(), kBytes), to = Memory::allocate(implementation_->shared_device(), kBytes);
  if (!from || !to || !device.clear(from->data(), kBytes) || !device.copy(to->data(), from->data(), kBytes) || !device.synchronize()) return 0;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kRounds; ++i)
    if (!device.copy(to->data(), from->data(), kBytes)) return 0;
  if (!device.synchronize()) return 0;
  return 2.0 * kRounds * kBytes / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Status DeviceModel::forward(std::span<const Sequence> batch, const States& before, const CancelToken& cancel) {
  return implementation_->forward(batch, before, cancel);
}

}  // namespace wenqu::engine::device
