// Products of quantized weights with many tokens' inputs of 8 bits, for AMX: matrices of 16 rows and 64 bytes.
//
// Blocks of 256: a weight times its sub-block's scale has up to 14 bits. It is cut in two bytes, 128 * high + low, so
// that the tile registers add up a whole block of each; what comes out is as exact as anywhere else.
// Blocks of 32: each has its own scale, and half a tile's length.
#if defined(__x86_64__)

#include "engine/cpu/quantized.h"
#include "engine/cpu/vnni.h"

namespace wenqu::engine::cpu {
namespace {

// From so many tokens on, two bytes for a weight pay; fewer go the way of AVX-512.
constexpr size_t kFewTokens = 32;
constexpr size_t kTokens = 16;        // of a tile
constexpr size_t kMost = 512;         // whose results are kept
constexpr size_t kBesides = 2;        // row tiles that meet the same inputs

// Tile registers: inputs, weights (two at a time), results. GCC wants them as digits.
#define WENQU_X 0
#define WENQU_W0 1
#define WENQU_W1 2
#define WENQU_C0 4
#define WENQU_C1 5
#define WENQU_C2 6
#define WENQU_C3 7

// GCC 12 does not know that loading a tile reads memory: what was written before stays before this.
inline void written() { __asm__ volatile("" ::: "memory"); }

struct alignas(64) TileConfig {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t bytes[16] = {};
  uint8_t rows[16] = {};
  explicit TileConfig(size_t depth) {   // bytes of a row of inputs
    for (int i : {WENQU_X, WENQU_W0, WENQU_W1, WENQU_C0, WENQU_C1, WENQU_C2, WENQU_C3}) bytes[i] = 64, rows[i] = 16;
    bytes[WENQU_X] = static_cast<uint16_t>(depth);
    rows[WENQU_W0] = rows[WENQU_W1] = static_cast<uint8_t>(depth / 4);
  }
};

// Sets the tile registers up while it lives; a thread that has none in use is cheaper to switch.
class TileUse {
 public:
  explicit TileUse(size_t depth) : config_(depth) {
    written();
    _tile_loadconfig(&config_);
  }
  ~TileUse() { _tile_release(); }
  TileUse(const TileUse&) = delete;
  TileUse& operator=(const TileUse&) = delete;

 private:
  const TileConfig config_;
};

// A scale stands twice.
struct Scaling {
  static __m256i first(__m256i pairs) { return _mm256_blend_epi16(pairs, _mm256_slli_epi32(pairs, 16), 0xAA); }
  static __m256i second(__m256i pairs) { return _mm256_blend_epi16(pairs, _mm256_srli_epi32(pairs, 16), 0x55); }
  template <class Weights> static __m256i bytes(__m256i w) { return w; }
  template <class Weights> static constexpr int offset_bits() { return Weights::kOffsetBits; }
};

struct Bytes {
  alignas(64) int8_t low[kTileColumns / 4][kTileRows][4], high[kTileColumns / 4][kTileRows][4];
};

// Weights times scales, in two bytes.
template <class Weights>
void scale_weights(const Tile& tile, Bytes& out) {
  const __m512i low_byte = _mm512_set1_epi16(0xFF), low_bits = _mm512_set1_epi16(0x7F);
  for (size_t step = 0; step < kTileColumns / 4; ++step) {
    const __m512i w = _mm512_load_si512(tile.w[step]), scale = _mm512_load_si512(tile.scales[step / 4]);
    __m512i even, odd;
    if constexpr (Weights::kSigned) {
      even = _mm512_srai_epi16(_mm512_slli_epi16(w, 8), 8);
      odd = _mm512_srai_epi16(w, 8);
    } else {
      even = _mm512_and_si512(w, low_byte);
      odd = _mm512_srli_epi16(w, 8);
    }
    if constexpr (Weights::kOffset > 0) {
      even = _mm512_sub_epi16(even, _mm512_set1_epi16(Weights::kOffset));
      odd = _mm512_sub_epi16(odd, _mm512_set1_epi16(Weights::kOffset));
    }
    even = _mm512_mullo_epi16(even, scale);
    odd = _mm512_mullo_epi16(odd, scale);
    const __m512i low = _mm512_or_si512(_mm512_and_si512(even, low_bits), _mm512_slli_epi16(_mm512_and_si512(odd, low_bits), 8));
    // Bit 7 of a number becomes bit 0 of its byte.
    const __m512i high = _mm512_mask_blend_epi8(0xAAAAAAAAAAAAAAAA, _mm512_srai_epi16(even, 7), _mm512_slli_epi16(odd, 1));
    _mm512_store_si512(out.low[step], low);
    _mm512_store_si512(out.high[step], high);
  }
}

// Signed weights of blocks of 32.
template <class Weights>
void sign_weights(size_t columns, Tile& tile) {
  if constexpr (Weights::kOffset > 0)
    for (size_t step = 0; step < columns / 4; ++step)
      _mm512_store_si512(tile.w[step], _mm512_sub_epi8(_mm512_load_si512(tile.w[step]), _mm512_set1_epi8(Weights::kOffset)));
}

// Sixteen tokens' bytes of `columns` columns: where they lie, when the distance between the tokens is even, or else
// collected.
class Columns {
 public:
  template <typename Of>
  void take(size_t tokens, size_t columns, const Of& of) {
    first_ = of(0);
    stride_ = tokens > 1 ? of(1) - of(0) : 0;
    bool even = tokens == kTokens;
    for (size_t t = 2; even && t < kTokens; ++t) even = of(t) - of(t - 1) == stride_;
    if (even) return;
    for (size_t t = 0; t < kTokens; ++t)
      if (t < tokens)
        std::memcpy(copy_[t], of(t), columns);
      else
        std::memset(copy_[t], 0, columns);
    first_ = copy_[0], stride_ = kTileColumns;
  }
  const int8_t* at(size_t column) const { return first_ + column; }
  std::ptrdiff_t stride() const { return stride_; }

 private:
  const int8_t* first_ = nullptr;
  std::ptrdiff_t stride_ = 0;
  alignas(64) int8_t copy_[kTokens][kTileColumns];
};

using Result = int32_t[kTokens][kTileRows];

// Keeps two row tiles unpacked, so that each tile of inputs that is loaded meets both.
template <typename Unpack, typename Multiply>
void many_tokens_by_two(const DotRows& args, size_t columns, const Unpack& unpack, const Multiply& multiply) {
  alignas(64) float sums[kBesides][kMost][kTileRows];
  for (size_t token = 0; token < args.tokens; token += kMost) {
    const size_t tokens = args.tokens - token < kMost ? args.tokens - token : kMost;
    for (size_t r = 0; r < args.rows; r += kBesides * kTileRows) {
      const size_t count = args.rows - r < kBesides * kTileRows ? args.rows - r : kBesides * kTileRows;
      const size_t tiles = (count + kTileRows - 1) / kTileRows;
      for (size_t i = 0; i < tiles; ++i) std::memset(sums[i], 0, tokens * sizeof(sums[i][0]));
      for (size_t column = 0; column < columns; ++column) {
        for (size_t i = 0; i < tiles; ++i) {
          const size_t rest = count - i * kTileRows;
          unpack(args.weights + (r + i * kTileRows) * args.row_bytes, rest < kTileRows ? rest : kTileRows, column, i);
        }
        for (size_t t = 0; t < tokens; t += kTokens) {
          float (*const own[kBesides])[kTileRows] = {sums[0] + t, sums[1] + t};
          multiply(column, tiles, args.inputs + token + t, tokens - t < kTokens ? tokens - t : kTokens, own);
        }
      }
      for (size_t i = 0; i < tiles; ++i) {
        const size_t rest = count - i * kTileRows;
        for (size_t t = 0; t < tokens; ++t)
          std::memcpy(args.outputs[token + t] + args.first + r + i * kTileRows, sums[i][t], (rest < kTileRows ? rest : kTileRows) * sizeof(float));
      }
    }
  }
}

Kernels without_tiles;   // set once, before any of these is called

template <class Weights, DotRowsFunction Kernels::*kFew>
void dot_256(const DotRows& args) {
  if (args.tokens < kFewTokens) return (without_tiles.*kFew)(args);
  const TileUse use(64);
  Tile tiles[kBesides];
  Bytes bytes[kBesides];
  Columns x;
  alignas(64) Result low[kBesides], high[kBesides];
  many_tokens_by_two(
      args, args.n / 256,
      [&](const std::byte* rows, size_t count, size_t column, size_t i) {
        unpack_256<Scaling, Weights>(rows + column * Weights::kBytes, args.row_bytes, count, tiles[i]);
        scale_weights<Weights>(tiles[i], bytes[i]);
      },
      [&](size_t column, size_t count, const InputRow* inputs, size_t tokens, float (*const sums[kBesides])[kTileRows]) {
        x.take(tokens, 256, [&](size_t t) { return inputs[t].q256 + column * 256; });
        written();
        _tile_zero(WENQU_C0);
        _tile_zero(WENQU_C1);
        _tile_zero(WENQU_C2);
        _tile_zero(WENQU_C3);
        for (size_t k = 0; k < 4; ++k) {
          _tile_loadd(WENQU_X, x.at(k * 64), x.stride());
          _tile_loadd(WENQU_W0, bytes[0].low[k * 16], 64);
          _tile_dpbssd(WENQU_C0, WENQU_X, WENQU_W0);
          _tile_loadd(WENQU_W1, bytes[0].high[k * 16], 64);
          _tile_dpbssd(WENQU_C1, WENQU_X, WENQU_W1);
          if (count == 1) continue;
          _tile_loadd(WENQU_W0, bytes[1].low[k * 16], 64);
          _tile_dpbssd(WENQU_C2, WENQU_X, WENQU_W0);
          _tile_loadd(WENQU_W1, bytes[1].high[k * 16], 64);
          _tile_dpbssd(WENQU_C3, WENQU_X, WENQU_W1);
        }
        _tile_stored(WENQU_C0, low[0], 64);
        _tile_stored(WENQU_C1, high[0], 64);
        _tile_stored(WENQU_C2, low[1], 64);
        _tile_stored(WENQU_C3, high[1], 64);
        for (size_t i = 0; i < count; ++i)
          for (size_t t = 0; t < tokens; ++t) {
            const __m512i products = _mm512_add_epi32(_mm512_load_si512(low[i][t]), _mm512_slli_epi32(_mm512_load_si512(high[i][t]), 7));
            add_block_256<Weights, false>(tiles[i], column, inputs[t], products, sums[i][t]);
          }
      });
}

template <class Weights, DotRowsFunction Kernels::*kFew>
void dot_32(const DotRows& args) {
  if (args.tokens < kFewTokens) return (without_tiles.*kFew)(args);
  const TileUse use(32);
  Tile tiles[kBesides];
  Columns x;
  alignas(64) Result result[kBesides][2];
  const auto blocks_of = [&](size_t column) { return args.n / 32 - column * 8 < 8 ? args.n / 32 - column * 8 : 8; };
  many_tokens_by_two(
      args, (args.n + 255) / 256,
      [&](const std::byte* rows, size_t count, size_t column, size_t i) {
        const size_t blocks = blocks_of(column);
        unpack_32<Scaling, Weights>(rows + column * 8 * Weights::kBytes, args.row_bytes, count, blocks, tiles[i]);
        sign_weights<Weights>(blocks * 32, tiles[i]);
      },
      [&](size_t column, size_t count, const InputRow* inputs, size_t tokens, float (*const sums[kBesides])[kTileRows]) {
        const size_t blocks = blocks_of(column);
        x.take(tokens, blocks * 32, [&](size_t t) { return inputs[t].q32 + column * 256; });
        written();
        for (size_t b = 0; b < blocks; ++b) {
          _tile_loadd(WENQU_X, x.at(b * 32), x.stride());
          _tile_loadd(WENQU_W0, tiles[0].w[b * 8], 64);
          _tile_zero(WENQU_C0);
          _tile_dpbssd(WENQU_C0, WENQU_X, WENQU_W0);
          _tile_stored(WENQU_C0, result[0][0], 64);
          if (count == 2) {
            _tile_loadd(WENQU_W1, tiles[1].w[b * 8], 64);
            _tile_zero(WENQU_C1);
            _tile_dpbssd(WENQU_C1, WENQU_X, WENQU_W1);
            _tile_stored(WENQU_C1, result[1][0], 64);
          }
          for (size_t i = 0; i < count; ++i)
            for (size_t t = 0; t < tokens; ++t)
              add_block_32<Weights>(tiles[i], b, column * 8 + b, inputs[t], _mm512_load_si512(result[i][0][t]), sums[i][t]);
        }
      });
}

}  // namespace

void use_amx_products(Kernels& kernels) {
  without_tiles = kernels;
  kernels.q8_0 = dot_32<WeightsQ8_0, &Kernels::q8_0>;
  kernels.q4_0 = dot_32<WeightsQ4_0, &Kernels::q4_0>;
  kernels.q4_1 = dot_32<WeightsQ4_1, &Kernels::q4_1>;
  kernels.q5_0 = dot_32<WeightsQ5_0, &Kernels::q5_0>;
  kernels.q5_1 = dot_32<WeightsQ5_1, &Kernels::q5_1>;
  kernels.iq4_nl = dot_32<WeightsIQ4NL, &Kernels::iq4_nl>;
  kernels.q2_k = dot_256<WeightsQ2K, &Kernels::q2_k>;
  kernels.q3_k = dot_256<WeightsQ3K, &Kernels::q3_k>;
  kernels.q4_k = dot_256<WeightsQ4K, &Kernels::q4_k>;
  kernels.q5_k = dot_256<WeightsQ5K, &Kernels::q5_k>;
  kernels.q6_k = dot_256<WeightsQ6K, &Kernels::q6_k>;
  kernels.iq4_xs = dot_256<WeightsIQ4XS, &Kernels::iq4_xs>;
}

}  // namespace wenqu::engine::cpu

#endif  // __x86_64__
