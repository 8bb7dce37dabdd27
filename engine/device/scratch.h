// How the memory of a batch on a device is divided.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/cuda/attention.h"
#include "engine/cuda/best.h"
#include "engine/cuda/expansion.h"
#include "engine/cuda/kernels/input.h"
#include "engine/cuda/kernels/matvec.h"
#include "engine/model/config.h"

namespace wenqu::engine::device {

inline int as_int(size_t n) { return static_cast<int>(n); }
inline unsigned as_unsigned(size_t n) { return static_cast<unsigned>(n); }
inline size_t padded(size_t n) { return (n + cuda::kBlock - 1) / cuda::kBlock * cuda::kBlock; }

// Hands out parts of one piece of memory; without memory, only counts.
class Parts {
 public:
  explicit Parts(std::byte* memory) : memory_(memory) {}
  template <typename T>
  T* take(size_t n) {
    T* const part = memory_ ? reinterpret_cast<T*>(memory_ + bytes_) : nullptr;
    bytes_ += (n * sizeof(T) + 255) / 256 * 256;
    return part;
  }
  cuda::Rounded rounded(size_t rows, size_t n) {
    const size_t stride = padded(n);
    int8_t* const q = take<int8_t>(rows * stride);
    return {q, take<float>(rows * stride / cuda::kBlock), as_int(stride)};
  }
  size_t bytes() const { return bytes_; }

 private:
  std::byte* memory_;
  size_t bytes_ = 0;
};

inline cuda::LatentShape latent_shape(const Config& config) {
  const MlaConfig& m = config.mla;
  return {as_int(config.heads), as_int(m.kv_lora), as_int(m.rope), as_int(m.nope), as_int(m.value)};
}

// Of the absorbed form, where there is MLA: the latents are the keys of one head, and its values.
inline cuda::AttentionShape attention_shape(const Config& config) {
  if (!config.has_mla()) return {as_int(config.heads), as_int(config.kv_heads), as_int(config.head), as_int(config.head), false};
  return {as_int(config.heads), 1, as_int(size_t{config.mla.kv_lora} + config.mla.rope), as_int(config.mla.kv_lora), true};
}

// For keys and values of as many heads at a time as are worth it: the whole context's, if that is little.
inline size_t expansion_scratch(const Config& config, size_t tokens) {
  constexpr size_t kMost = size_t{64} << 20;
  if (!config.has_mla() || !cuda::expansion_pays(latent_shape(config), 0, tokens)) return 0;
  const size_t pages = (config.context + cuda::kPageTokens - 1) / cuda::kPageTokens;
  return std::min(kMost, config.heads * cuda::expansion_bytes(latent_shape(config), pages));
}

// What a batch of up to `tokens` tokens computes in. Addresses do not change, so that recorded launches stay right.
struct Scratch {
  uint32_t* arrived;                         // [tokens] zeros (NormAfter)
  cuda::Halves halves;                       // of whatever is multiplied with weights just now: [tokens]
  float *hidden, *normed, *delta;            // [tokens][embedding]
  cuda::Rounded rounded;                     // normed
  float *queries, *keys, *values;            // [tokens][heads or kv_heads][head]
  cuda::Rounded rounded_heads;               // [tokens][heads][...]: queries' unrotated part, latents
  float *q_latent, *q_latent_normed;         // [tokens][q_lora]
  cuda::Rounded rounded_q_latent;
  float *absorbed, *latents;                 // [tokens][heads][kv_lora + rope], [tokens][heads][kv_lora]
  std::byte* expansion;                      // expansion_scratch() bytes
  size_t partial_numbers;                    // of attention whose keys are split:
  float* partial;
  cuda::Float2* partial_scale;               // one for as many numbers as a value has
  float* attended;                           // [tokens][heads][value]
  cuda::Rounded rounded_attended;            // [tokens][heads * value]
  float* scores;                             // [tokens][experts]
  cuda::Choice* choices;                     // [tokens][used]
  std::byte* feed_forward;
  float* from_cpu;                           // [tokens][embedding], of experts on the CPU
  // Of the rows whose logits are wanted, so many at a time; where the last layers are.
  static constexpr size_t kLogitRows = 64;
  float *taken, *taken_normed;               // [kLogitRows][embedding]
  cuda::Rounded rounded_taken;
  float* logits;                             // [kLogitRows][vocabulary]
  std::byte* best_scratch;
  cuda::Word2* best;                         // [kLogitRows][1 + kMostBest]

  Scratch(Parts& parts, const Config& config, size_t tokens, size_t feed_forward_bytes, bool last_layers) {
    const size_t d = config.embedding, heads = config.heads;
    const MlaConfig& m = config.mla;
    const bool mla = config.has_mla();
    const size_t head = mla ? size_t{m.nope} + m.rope : config.head, value = mla ? m.value : config.head, row = size_t{m.kv_lora} + m.rope;
    arrived = parts.take<uint32_t>(tokens);
    halves.stride = cuda::round_up(as_int(std::max({d, heads * value, size_t{m.q_lora}})), cuda::kTileDepth);   // the widest
    halves.values = parts.take<cuda::Half>(tokens * static_cast<size_t>(halves.stride)), halves.scales = parts.take<float>(tokens);
    hidden = parts.take<float>(tokens * d), normed = parts.take<float>(tokens * d), delta = parts.take<float>(tokens * d);
    rounded = parts.rounded(tokens, d);
    queries = parts.take<float>(tokens * heads * head);
    keys = parts.take<float>(tokens * (mla ? row : config.kv_heads * head));
    values = parts.take<float>(mla ? 0 : tokens * config.kv_heads * head);
    rounded_heads = parts.rounded(mla ? tokens * heads : 0, std::max(m.nope, m.kv_lora));
    q_latent = parts.take<float>(tokens * m.q_lora), q_latent_normed = parts.take<float>(tokens * m.q_lora);
    rounded_q_latent = parts.rounded(tokens, m.q_lora);
    absorbed = parts.take<float>(mla ? tokens * heads * row : 0), latents = parts.take<float>(mla ? tokens * heads * m.kv_lora : 0);
    expansion = parts.take<std::byte>(expansion_scratch(config, tokens));
    const cuda::AttentionShape attention = attention_shape(config);
    partial_numbers = cuda::partial_room(attention, tokens, config.context);
    partial = parts.take<float>(partial_numbers);
    partial_scale = parts.take<cuda::Float2>(partial_numbers / std::max<size_t>(1, std::min(value, static_cast<size_t>(attention.value))));
    attended = parts.take<float>(tokens * heads * value);
    rounded_attended = parts.rounded(tokens, heads * value);
    scores = parts.take<float>(tokens * config.moe.router.experts);
    choices = parts.take<cuda::Choice>(tokens * config.moe.router.used);
    feed_forward = parts.take<std::byte>(feed_forward_bytes);
    from_cpu = parts.take<float>(config.moe.router.experts > 0 ? tokens * d : 0);
    const size_t rows = last_layers ? std::min(kLogitRows, tokens) : 0;
    taken = parts.take<float>(rows * d), taken_normed = parts.take<float>(rows * d);
    rounded_taken = parts.rounded(rows, d);
    logits = parts.take<float>(rows * config.vocabulary);
    best_scratch = parts.take<std::byte>(cuda::best_logits_scratch(as_int(rows), as_int(config.vocabulary)));
    best = parts.take<cuda::Word2>(rows * (1 + cuda::kMostBest));
  }

  // Room for rows of n numbers as halves.
  cuda::Halves halves_of(int n) const { return {halves.values, halves.scales, cuda::round_up(n, cuda::kTileDepth)}; }
};

// What the host tells about a batch, uploaded at once. Where each part lies depends on the batch's size alone.
struct Tables {
  struct Counts {
    size_t tokens = 0, sequences = 0, pairs = 0, rows = 0, tiles = 0;
    size_t expanded_tiles = 0, latent_tiles = 0, expanded_pages = 0;   // of sequences whose latents are expanded
    size_t pages = 0;
  };
  int32_t* tokens = nullptr;                           // [tokens]
  cuda::Place* places = nullptr;                       // [tokens]
  int32_t* first_page = nullptr;                       // [sequences]
  float *cosines = nullptr, *sines = nullptr;          // [tokens][pairs]
  int32_t* rows = nullptr;                             // tokens whose logits are wanted
  cuda::BestWanted* wanted = nullptr;                  // of these, which may be enough
  cuda::QueryTile *tiles = nullptr, *expanded_tiles = nullptr;
  cuda::LatentTile* latent_tiles = nullptr;
  int32_t* expanded_first_page = nullptr;              // [sequences]
  std::byte** expanded_pages = nullptr;
  std::byte** pages = nullptr;                         // last: their number changes as the sequences grow

  Tables() = default;
  Tables(Parts& parts, const Counts& n) {
    tokens = parts.take<int32_t>(n.tokens);
    places = parts.take<cuda::Place>(n.tokens);
    first_page = parts.take<int32_t>(n.sequences);
    cosines = parts.take<float>(n.tokens * n.pairs), sines = parts.take<float>(n.tokens * n.pairs);
    rows = parts.take<int32_t>(n.rows), wanted = parts.take<cuda::BestWanted>(n.rows);
    tiles = parts.take<cuda::QueryTile>(n.tiles), expanded_tiles = parts.take<cuda::QueryTile>(n.expanded_tiles);
    latent_tiles = parts.take<cuda::LatentTile>(n.latent_tiles);
    expanded_first_page = parts.take<int32_t>(n.latent_tiles > 0 ? n.sequences : 0);
    expanded_pages = parts.take<std::byte*>(n.expanded_pages);
    pages = parts.take<std::byte*>(n.pages);
  }
};

}  // namespace wenqu::engine::device
