// Products of quantized weights with many tokens' inputs of 8 bits, for AMX: matrices of 16 rows and 64 bytes.
//
// Blocks of 256: a weight times its sub-block's scale has up to 14 bits. It is cut in two bytes, 128 * high + low, so
// that the tile registers add up a whole block of each; what comes out is as exact as anywhere else.
// Blocks of 32: each has its own scale, and half a tile's length.
#if defined(__x86_64__)

#include <algorithm>
#include <memory>

#include "engine/cpu/kernel_sets.h"
#include "engine/cpu/vnni.h"

namespace wenqu::engine::cpu {
namespace {

// From so many tokens on, two bytes for a weight pay; fewer go the way of AVX-512.
constexpr size_t kFewTokens = 32;
constexpr size_t kTokens = 16;        // of a tile
constexpr size_t kMost = 512;         // whose results are kept
constexpr size_t kBesides = 2;        // row tiles that meet the same tile of inputs
constexpr size_t kGroups = 4;         // of such row tiles that are unpacked for one reading of all inputs
constexpr size_t kTiles = kBesides * kGroups;
constexpr size_t kNear = 64;          // tokens whose columns the first cache holds beside a group

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

// What a thread works in. It lives as long as the thread, as a stack may be small.
struct Scratch {
  Tile tiles[kTiles];
  Bytes bytes[kTiles];
  alignas(64) float sums[kTiles][kMost][kTileRows];
  Columns x;
  alignas(64) Result low[kBesides], high[kBesides], blocks[kBesides][8];

  static Scratch& own() {
    thread_local const std::unique_ptr<Scratch> scratch = std::make_unique<Scratch>();
    return *scratch;
  }
};

// Rows' tiles are unpacked for all tokens, several groups of them before the tokens pass by, so that inputs that fill
// the caches are read less often.
// unpack(rows, count, block column, tile) and multiply(block column, first tile, tiles, inputs, tokens, first token).
template <typename Unpack, typename Multiply>
void many_tokens_by_two(Scratch& scratch, const DotRows& args, size_t columns, const Unpack& unpack, const Multiply& multiply) {
  for (size_t token = 0; token < args.tokens; token += kMost) {
    const size_t tokens = std::min(args.tokens - token, kMost);
    for (size_t r = 0; r < args.rows; r += kTiles * kTileRows) {
      const size_t rows = std::min(args.rows - r, kTiles * kTileRows), tiles = (rows + kTileRows - 1) / kTileRows;
      const auto rows_of = [&](size_t tile) { return std::min(rows - tile * kTileRows, kTileRows); };
      for (size_t i = 0; i < tiles; ++i) std::memset(scratch.sums[i], 0, tokens * sizeof(scratch.sums[i][0]));
      for (size_t column = 0; column < columns; ++column) {
        for (size_t i = 0; i < tiles; ++i) unpack(args.weights + (r + i * kTileRows) * args.row_bytes, rows_of(i), column, i);
        for (size_t near = 0; near < tokens; near += kNear)
          for (size_t i = 0; i < tiles; i += kBesides)
            for (size_t t = near; t < std::min(near + kNear, tokens); t += kTokens)
              multiply(column, i, std::min(tiles - i, kBesides), args.inputs + token + t, std::min(tokens - t, kTokens), t);
      }
      for (size_t i = 0; i < tiles; ++i)
        for (size_t t = 0; t < tokens; ++t)
          std::memcpy(args.outputs[token + t] + args.first + r + i * kTileRows, scratch.sums[i][t], rows_of(i) * sizeof(float));
    }
  }
}

// Adds the tile's blocks of 32 to the results of T tokens from `token` on, which stay in registers.
template <class Weights, size_t T>
void add_blocks(const Tile& tile, const Result* products, size_t token, size_t first, size_t blocks, const InputRow* inputs,
                float (*sums)[kTileRows]) {
  __m512 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm512_load_ps(sums[token + t]);
  for (size_t b = 0; b < blocks; ++b) {
    const __m512 d = _mm512_load_ps(tile.d[b]);
    for (size_t t = 0; t < T; ++t) {
      const InputRow& input = inputs[token + t];
      const __m512 p = _mm512_cvtepi32_ps(_mm512_load_si512(products[b][token + t]));
      sum[t] = with_block_32<Weights>(sum[t], input.scale32[first + b], d, p, tile.m[b], input.sum32[first + b]);
    }
  }
  for (size_t t = 0; t < T; ++t) _mm512_store_ps(sums[token + t], sum[t]);
}

constinit Kernels without_tiles;   // set once, before any of these is called

// What all tokens that meet a tile's block of 256 share.
template <class Weights>
class Block256 {
 public:
  explicit Block256(const Tile& tile) : d_(_mm512_load_ps(tile.d[0])), m_(_mm512_load_ps(tile.m[0])) {
    for (size_t i = 0; i < 8; ++i) minima_[i] = _mm512_load_si512(tile.sums[i]);
  }

  // Adds to the results of the tile's rows for a token.
  void add(size_t block, const InputRow& input, __m512i products, float* sums) const {
    const __m512 p = _mm512_cvtepi32_ps(products), scale = _mm512_set1_ps(input.scale256[block]), sum = _mm512_load_ps(sums);
    if constexpr (Weights::kMinima) {
      __m512i minus = _mm512_setzero_si512();
      for (size_t i = 0; i < 8; ++i) minus = _mm512_dpwssd_epi32(minus, minima_[i], _mm512_set1_epi32(load32(input.sum256 + block * 16 + i * 2)));
      _mm512_store_ps(sums, _mm512_fmadd_ps(scale, _mm512_fmsub_ps(d_, p, _mm512_mul_ps(m_, _mm512_cvtepi32_ps(minus))), sum));
    } else {
      _mm512_store_ps(sums, _mm512_fmadd_ps(d_, _mm512_mul_ps(scale, p), sum));
    }
  }

 private:
  const __m512 d_, m_;
  __m512i minima_[8];
};

template <class Weights, DotRowsFunction Kernels::*kFew>
void dot_256(const DotRows& args) {
  if (args.tokens < kFewTokens) return (without_tiles.*kFew)(args);
  const TileUse use(64);
  Scratch& scratch = Scratch::own();
  many_tokens_by_two(
      scratch, args, tile_columns(args.n),
      [&](const std::byte* rows, size_t count, size_t column, size_t i) {
        unpack_column<Scaling, Weights>(args, rows, count, column, scratch.tiles[i]);
        scale_weights<Weights>(scratch.tiles[i], scratch.bytes[i]);
      },
      [&](size_t column, size_t tile, size_t count, const InputRow* inputs, size_t tokens, size_t first) {
        Columns& x = scratch.x;
        const Bytes* bytes = scratch.bytes + tile;
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
        _tile_stored(WENQU_C0, scratch.low[0], 64);
        _tile_stored(WENQU_C1, scratch.high[0], 64);
        _tile_stored(WENQU_C2, scratch.low[1], 64);
        _tile_stored(WENQU_C3, scratch.high[1], 64);
        for (size_t i = 0; i < count; ++i) {
          const Block256<Weights> block(scratch.tiles[tile + i]);
          for (size_t t = 0; t < tokens; ++t) {
            const __m512i low = _mm512_load_si512(scratch.low[i][t]), high = _mm512_load_si512(scratch.high[i][t]);
            block.add(column, inputs[t], _mm512_add_epi32(low, _mm512_slli_epi32(high, 7)), scratch.sums[tile + i][first + t]);
          }
        }
      });
}

template <class Weights, DotRowsFunction Kernels::*kFew>
void dot_32(const DotRows& args) {
  if (args.tokens < kFewTokens) return (without_tiles.*kFew)(args);
  const TileUse use(32);
  Scratch& scratch = Scratch::own();
  many_tokens_by_two(
      scratch, args, tile_columns(args.n),
      [&](const std::byte* rows, size_t count, size_t column, size_t i) {
        unpack_column<Scaling, Weights>(args, rows, count, column, scratch.tiles[i]);
        sign_weights<Weights>(blocks_of_32(args.n, column) * 32, scratch.tiles[i]);
      },
      [&](size_t column, size_t tile, size_t count, const InputRow* inputs, size_t tokens, size_t first) {
        const size_t blocks = blocks_of_32(args.n, column);
        Columns& x = scratch.x;
        x.take(tokens, blocks * 32, [&](size_t t) { return inputs[t].q32 + column * 256; });
        written();
        // All products first, so that the tile registers do not wait for what becomes of them.
        for (size_t b = 0; b < blocks; b += 2) {
          _tile_loadd(WENQU_X, x.at(b * 32), x.stride());
          for (size_t i = 0; i < count; ++i) {
            _tile_loadd(WENQU_W0, scratch.tiles[tile + i].w[b * 8], 64);
            _tile_zero(WENQU_C0);
            _tile_dpbssd(WENQU_C0, WENQU_X, WENQU_W0);
            _tile_stored(WENQU_C0, scratch.blocks[i][b], 64);
          }
          if (b + 1 == blocks) break;
          _tile_loadd(WENQU_X, x.at(b * 32 + 32), x.stride());
          for (size_t i = 0; i < count; ++i) {
            _tile_loadd(WENQU_W1, scratch.tiles[tile + i].w[b * 8 + 8], 64);
            _tile_zero(WENQU_C1);
            _tile_dpbssd(WENQU_C1, WENQU_X, WENQU_W1);
            _tile_stored(WENQU_C1, scratch.blocks[i][b + 1], 64);
          }
        }
        for (size_t i = 0; i < count; ++i) {
          float (*const sums)[kTileRows] = scratch.sums[tile + i] + first;
          size_t t = 0;
          for (; t + 8 <= tokens; t += 8) add_blocks<Weights, 8>(scratch.tiles[tile + i], scratch.blocks[i], t, column * 8, blocks, inputs, sums);
          for (; t < tokens; ++t) add_blocks<Weights, 1>(scratch.tiles[tile + i], scratch.blocks[i], t, column * 8, blocks, inputs, sums);
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
