// Quantized weights whose rows lie eight side by side (interleaved.h), or are brought together so, times one token or a few.
//
// A vector of 32 bytes has eight columns of four rows, two such vectors ("sides") have all eight rows: nothing is added
// across a vector before a block's end, and what scales eight rows is taken apart for all of them at once. Sums of 32
// bits, two of each row, become one by a horizontal addition of the sides, which leaves the rows in their order.
//
// Arithmetic is how an instruction set multiplies, as in few_tokens.h, and
//   four_dots<Weights>(w, x0, x1, x2, x3): the sums of four vectors of bytes' products, of signed weights with kSignedOffset added to each.
//
// Everything here has internal linkage: files of different instruction sets must not share one copy.
#pragma once

#include "engine/cpu/ahead.h"
#include "engine/cpu/avx2.h"
#include "engine/cpu/few_tokens.h"
#include "engine/cpu/interleaved.h"

namespace wenqu::engine::cpu {
namespace {

inline __m256i eight_columns(const int8_t* x) {   // for every row
  int64_t bytes;
  std::memcpy(&bytes, x, 8);
  return _mm256_set1_epi64x(bytes);
}
inline __m256i low_nibbles(__m256i v) { return _mm256_and_si256(v, _mm256_set1_epi8(15)); }
inline __m256i high_nibbles(__m256i v) { return _mm256_and_si256(_mm256_srli_epi16(v, 4), _mm256_set1_epi8(15)); }
template <size_t kHigh>
inline __m256i nibbles_of(__m256i v) { return kHigh ? high_nibbles(v) : low_nibbles(v); }

inline __m256 eight_halves(const std::byte* p) { return _mm256_cvtph_ps(load_half(p)); }

// Of two sides' words, the even numbers of 32 bits or the odd ones: of all rows, in their order.
template <bool kOdd>
inline __m256i halves_of_words(__m256i first, __m256i second) {
  return _mm256_castps_si256(_mm256_shuffle_ps(_mm256_castsi256_ps(first), _mm256_castsi256_ps(second), kOdd ? 0xDD : 0x88));
}
// Two half floats of each of eight rows.
struct TwoHalves {
  __m256 first, second;
  explicit TwoHalves(__m256i eight) {
    const __m256i apart = _mm256_shuffle_epi8(eight, _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)));
    const __m256i both = _mm256_permute4x64_epi64(apart, 0xD8);
    first = _mm256_cvtph_ps(_mm256_castsi256_si128(both));
    second = _mm256_cvtph_ps(_mm256_extracti128_si256(both, 1));
  }
};
// Byte kByte of each row's word, signed, four times in 16 bits.
template <char kByte>
inline __m256i signed_scale(__m256i words) {
  constexpr char k = kByte, l = kByte + 8;
  return _mm256_srai_epi16(_mm256_shuffle_epi8(words, _mm256_broadcastsi128_si256(_mm_setr_epi8(-1, k, -1, k, -1, k, -1, k, -1, l, -1, l, -1, l, -1, l))), 8);
}

// ------------------------------------------------------------------ rows as they lie in a file
//
// A column of eight rows' blocks is brought into the order of interleaved.h before it is multiplied. Gather, and others like it, are how an
// instruction set does that: column<Weights>(rows, at, out) for the blocks that begin `at` bytes into the rows; out: as many bytes as they have.

// The row whose words lie at a place: row 2's lie at place 4, and row 4's at place 2.
inline const std::byte* place(const EightRows& eight, size_t p) { return eight.rows[kPlaces[p]]; }

struct Gather {
  // kBytes of each row, in their order.
  template <size_t kBytes>
  __attribute__((always_inline)) static void piece(const EightRows& eight, size_t at, std::byte* out) {
    each<8>([&](auto r) __attribute__((always_inline)) { std::memcpy(out + r * kBytes, eight.rows[r] + at, kBytes); });
  }
  // Two words of each row.
  __attribute__((always_inline)) static void two_words(const EightRows& eight, size_t at, std::byte* out) {
    each<2>([&](auto side) __attribute__((always_inline)) {
      const auto both = [&](size_t p) __attribute__((always_inline)) {
        return _mm256_inserti128_si256(_mm256_castsi128_si256(load_half(place(eight, side * 4 + p) + at)), load_half(place(eight, side * 4 + p + 2) + at), 1);
      };
      const __m256i even = both(0), odd = both(1);
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + side * 32), _mm256_unpacklo_epi64(even, odd));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + 64 + side * 32), _mm256_unpackhi_epi64(even, odd));
    });
  }
  template <class Weights>
  __attribute__((always_inline)) static void column(const EightRows& eight, size_t at, std::byte* out) {
    constexpr Cut kCut = Weights::kCut;
    constexpr size_t kFirst = kCut.before();
    static_assert(kCut.words % 2 == 0 && kCut.behind == 0);
    piece<kCut.first>(eight, at, out);
    piece<kCut.second>(eight, at + kCut.first, out + kCut.first * kInterleavedRows);
    each<kCut.words / 2>([&](auto i) __attribute__((always_inline)) { two_words(eight, at + kFirst + i * 16, out + (kFirst + i * 16) * kInterleavedRows); });
  }
};

// The columns of eight rows' blocks, up to kMost at a time: where they lie side by side, or brought together from where they
// lie in a file (kPlain). There the next eight rows are asked for while these are read: eight are too many, and too short, for
// the processor to read ahead in.
template <class Gathers, class Weights, bool kPlain, size_t kMost>
class Columns {
 public:
  static constexpr size_t kBytes = Weights::kBytes * kInterleavedRows;
  Columns(const DotRows& args, size_t first)
      : eight(args, first), begin_(args.weights + first * args.row_bytes), ask_(args.rows - first > kInterleavedRows), next_(begin_ + kInterleavedRows * args.row_bytes),
        near_(args.row_bytes <= kNearRow) {}

  const EightRows eight;

  template <size_t kCount>
  __attribute__((always_inline)) const std::byte* take(size_t b) {
    if constexpr (!kPlain) {
      return begin_ + b * kBytes;
    } else {
      if (ask_) {
        if (near_) prefetch<kCount * kBytes, _MM_HINT_T0>(next_ + b * kBytes);
        else prefetch<kCount * kBytes>(next_ + b * kBytes);
      }
      each<kCount>([&](auto c) __attribute__((always_inline)) { Gathers::template column<Weights>(eight, (b + c) * Weights::kBytes, gathered_ + c * kBytes); });
      return gathered_;
    }
  }

 private:
  static constexpr size_t kNearRow = 2048;   // eight rows of so many bytes find room in the first cache
  const std::byte* const begin_;
  const bool ask_;
  const std::byte* const next_;
  const bool near_;
  alignas(64) std::byte gathered_[kPlain ? kMost * kBytes : 1];
};

// ------------------------------------------------------------------ blocks of 256
//
// Objects of a column's eight blocks; Plain is the type as it lies in a file. Columns are taken in kSteps steps of kGroups
// sub-blocks of kUnits units of eight: column(step, group, unit) says where such a unit begins, weights<step, group, unit>(side)
// gives those of four rows, scale<step, group>(side) their scale, each four times in 16 bits.

struct EightScalesQ4K {
  static constexpr size_t kSteps = 4, kGroups = 2, kUnits = 4, kHeader = 128;
  static constexpr bool kMinima = true;
  static constexpr size_t column(size_t step, size_t group, size_t unit) { return step * 64 + group * 32 + unit * 8; }

  __m256 d, dmin;
  __m256i scales[2];        // of sub-blocks 0 to 3 and 4 to 7: four bytes a row
  __m256i minima[2];

  explicit EightScalesQ4K(const std::byte* block) {
    const __m256i v0 = load(block), v1 = load(block + 32), v2 = load(block + 64), v3 = load(block + 96);
    const __m256i a = halves_of_words<true>(v0, v1), b = halves_of_words<false>(v2, v3), c = halves_of_words<true>(v2, v3);
    const __m256i six = _mm256_set1_epi8(0x3F), high = _mm256_set1_epi8(0x30);
    scales[0] = _mm256_and_si256(a, six);
    minima[0] = _mm256_and_si256(b, six);
    scales[1] = _mm256_or_si256(low_nibbles(c), _mm256_and_si256(_mm256_srli_epi16(a, 2), high));
    minima[1] = _mm256_or_si256(high_nibbles(c), _mm256_and_si256(_mm256_srli_epi16(b, 2), high));
    const TwoHalves floats(halves_of_words<false>(v0, v1));
    d = floats.first, dmin = floats.second;
  }

  template <size_t kStep, size_t kGroup>
  __m256i scale(size_t side) const {
    constexpr char g = (kStep * 2 + kGroup) % 4;
    const __m128i first = _mm_setr_epi8(g, -1, g, -1, g, -1, g, -1, 4 + g, -1, 4 + g, -1, 4 + g, -1, 4 + g, -1);
    const __m128i second = _mm_setr_epi8(8 + g, -1, 8 + g, -1, 8 + g, -1, 8 + g, -1, 12 + g, -1, 12 + g, -1, 12 + g, -1, 12 + g, -1);
    return _mm256_shuffle_epi8(scales[kStep / 2], _mm256_broadcastsi128_si256(side == 0 ? first : second));
  }
  // The minima's products with sums of 32 inputs each.
  __m256i minus(const int16_t* sums) const {
    alignas(16) int16_t eight[8];
    _mm_store_si128(reinterpret_cast<__m128i*>(eight), sums_of_32(sums));
    const __m256i low = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    const __m256i high = _mm256_broadcastsi128_si256(_mm_setr_epi8(2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15, -1));
    const auto products = [&](size_t half) {
      return _mm256_add_epi32(_mm256_madd_epi16(_mm256_shuffle_epi8(minima[half], low), broadcast32(eight + half * 4)),
                              _mm256_madd_epi16(_mm256_shuffle_epi8(minima[half], high), broadcast32(eight + half * 4 + 2)));
    };
    return _mm256_add_epi32(products(0), products(1));
  }
};

struct EightQ4K : EightScalesQ4K {
  using Plain = WeightsQ4K;
  static constexpr size_t kBytes = WeightsQ4K::kBytes * kInterleavedRows;
  const std::byte* block;
  explicit EightQ4K(const std::byte* b) : EightScalesQ4K(b), block(b) {}
  template <size_t kStep, size_t kGroup, size_t kUnit>
  __m256i weights(size_t side) const { return nibbles_of<kGroup>(load(block + kHeader + kStep * 256 + kUnit * 64 + side * 32)); }
};

struct EightQ5K : EightScalesQ4K {
  using Plain = WeightsQ5K;
  static constexpr size_t kBytes = WeightsQ5K::kBytes * kInterleavedRows;
  const std::byte* block;
  explicit EightQ5K(const std::byte* b) : EightScalesQ4K(b), block(b) {}
  template <size_t kStep, size_t kGroup, size_t kUnit>
  __m256i weights(size_t side) const {
    const __m256i v = load(block + kHeader + 256 + kStep * 256 + kUnit * 64 + side * 32), high = load(block + kHeader + kUnit * 64 + side * 32);
    constexpr int g = kStep * 2 + kGroup;
    const __m256i bit = g < 4 ? _mm256_slli_epi16(high, 4 - g) : _mm256_srli_epi16(high, g - 4);
    return _mm256_or_si256(nibbles_of<kGroup>(v), _mm256_and_si256(bit, _mm256_set1_epi8(16)));
  }
};

struct EightQ6K {
  using Plain = WeightsQ6K;
  static constexpr size_t kBytes = WeightsQ6K::kBytes * kInterleavedRows, kSteps = 4, kGroups = 4, kUnits = 2;
  static constexpr bool kMinima = false;
  static constexpr size_t column(size_t step, size_t group, size_t unit) { return step / 2 * 128 + group * 32 + step % 2 * 16 + unit * 8; }

  __m256 d;
  const std::byte* block;
  explicit EightQ6K(const std::byte* b) : d(eight_halves(b + 26 * 64)), block(b) {}
  template <size_t kStep, size_t kGroup, size_t kUnit>
  __m256i weights(size_t side) const {
    const __m256i low = load(block + (kStep / 2 * 8 + kStep % 2 * 2 + kUnit) * 64 + side * 32 + kGroup % 2 * 256), high = load(block + (16 + kStep * 2 + kUnit) * 64 + side * 32);
    const __m256i two = kGroup == 2 ? high : kGroup == 3 ? _mm256_srli_epi16(high, 2) : _mm256_slli_epi16(high, 4 - kGroup % 2 * 2);
    return _mm256_or_si256(nibbles_of<kGroup / 2>(low), _mm256_and_si256(two, _mm256_set1_epi8(0x30)));
  }
  template <size_t kStep, size_t kGroup>
  __m256i scale(size_t side) const {
    return signed_scale<kGroup * 2 + kStep % 2>(load(scales(side) + kStep / 2 * 64));
  }
  // What the weights stand above their values: two sums of each of the side's rows, that count half and half.
  __m256i offset(size_t side, const int16_t* sums) const {
    const __m128i even = load_half(sums), odd = load_half(sums + 8);
    const __m256i x[2] = {_mm256_broadcastsi128_si256(_mm_unpacklo_epi16(even, odd)), _mm256_broadcastsi128_si256(_mm_unpackhi_epi16(even, odd))};
    const auto two_rows = [&](size_t pair) {
      const std::byte* const p = scales(side) + pair * 16;
      return _mm256_add_epi32(_mm256_madd_epi16(_mm256_cvtepi8_epi16(load_half(p)), x[0]), _mm256_madd_epi16(_mm256_cvtepi8_epi16(load_half(p + 64)), x[1]));
    };
    const __m256i first = two_rows(0), second = two_rows(1);
    const __m256i even_rows = _mm256_permute2x128_si256(first, second, 0x20), odd_rows = _mm256_permute2x128_si256(first, second, 0x31);
    return _mm256_slli_epi32(_mm256_add_epi32(_mm256_unpacklo_epi64(even_rows, odd_rows), _mm256_unpackhi_epi64(even_rows, odd_rows)), 5);
  }

 private:
  const std::byte* scales(size_t side) const { return block + 24 * 64 + side * 32; }
};

struct EightIQ4XS {
  using Plain = WeightsIQ4XS;
  static constexpr size_t kBytes = Plain::kBytes * kInterleavedRows, kSteps = 16, kGroups = 2, kUnits = 1;
  static constexpr bool kMinima = false;
  static constexpr size_t column(size_t step, size_t group, size_t) { return step / 2 * 32 + group * 16 + step % 2 * 8; }

  __m256 d;
  __m256i scales[2];   // of each side's rows, eight bytes each
  const std::byte* block;
  explicit EightIQ4XS(const std::byte* b) : block(b) {
    const __m256i words[2] = {load(b), load(b + 32)};
    d = TwoHalves(halves_of_words<false>(words[0], words[1])).first;
    const auto twice = [](__m128i bytes) { return _mm256_broadcastsi128_si256(bytes); };
    for (size_t side = 0; side < 2; ++side) {
      const __m256i nibbles = _mm256_shuffle_epi8(words[side], twice(_mm_setr_epi8(4, 4, 5, 5, 6, 6, 7, 7, 12, 12, 13, 13, 14, 14, 15, 15)));
      const __m256i low = _mm256_blendv_epi8(low_nibbles(nibbles), high_nibbles(nibbles), _mm256_set1_epi16(static_cast<short>(0xFF00)));
      const __m256i pairs = _mm256_shuffle_epi8(words[side], twice(_mm_setr_epi8(2, 2, 2, 2, 3, 3, 3, 3, 10, 10, 10, 10, 11, 11, 11, 11)));
      const auto bit = [&](int own, char value) {   // of each byte's own two bits
        const __m256i mask = _mm256_set1_epi32(own);
        return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(pairs, mask), mask), _mm256_set1_epi8(value));
      };
      const __m256i six = _mm256_or_si256(low, _mm256_or_si256(bit(0x40100401, 16), bit(static_cast<int>(0x80200802), 32)));
      scales[side] = _mm256_sub_epi8(six, _mm256_set1_epi8(32));
    }
  }
  template <size_t kStep, size_t kGroup, size_t kUnit>
  __m256i weights(size_t side) const { return non_linear(nibbles_of<kGroup>(load(block + 64 + kStep * 64 + side * 32))); }
  template <size_t kStep, size_t kGroup>
  __m256i scale(size_t side) const { return signed_scale<kStep / 2>(scales[side]); }
};

// Part kPart of kParts of what is asked for ahead of a column's bytes.
template <size_t kBytes, size_t kParts, size_t kPart>
__attribute__((always_inline)) inline void ask_for_part(const std::byte* column, const Ahead& ahead) {
  constexpr size_t kLines = (kBytes + 63) / 64, kBegin = kPart * kLines / kParts, kEnd = (kPart + 1) * kLines / kParts;
  if constexpr (kEnd > kBegin) ask_ahead<(kEnd - kBegin) * 64>(column + kBegin * 64, ahead);
}

template <class Arithmetic, class Eight, size_t T>
void interleaved_256(const DotRows& args, size_t first, size_t token, const Ahead& ahead) {
  const InputRow* inputs = args.inputs + token;
  const std::byte* block = args.weights + first * args.row_bytes;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  for (size_t b = 0; b < args.n / 256; ++b, block += Eight::kBytes) {
    const Eight eight(block);
    const int8_t* x[T];
    for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q256 + b * 256;
    __m256i sums[2][T];
    each<2>([&](auto side) __attribute__((always_inline)) {
      each<T>([&](auto t) __attribute__((always_inline)) { sums[side][t] = _mm256_setzero_si256(); });
      for (const int8_t*& bytes : x) __asm__("" : "+r"(bytes));   // or the compiler keeps the first side's inputs for the second, in memory
      each<Eight::kSteps>([&](auto step) __attribute__((always_inline)) {
        if constexpr (side == 0) ask_for_part<Eight::kBytes, Eight::kSteps, step>(block, ahead);
        each<Eight::kGroups>([&](auto g) __attribute__((always_inline)) {
          __m256i w[Eight::kUnits];
          each<Eight::kUnits>([&](auto unit) __attribute__((always_inline)) { w[unit] = eight.template weights<step, g, unit>(side); });
          const __m256i scale = eight.template scale<step, g>(side);
          each<T>([&](auto t) __attribute__((always_inline)) {
            __m256i products;
            each<Eight::kUnits>([&](auto unit) __attribute__((always_inline)) {
              const __m256i p = pairs<typename Eight::Plain>(w[unit], eight_columns(x[t] + Eight::column(step, g, unit)));
              products = unit == 0 ? p : _mm256_add_epi16(products, p);
            });
            sums[side][t] = Arithmetic::add_products(sums[side][t], products, scale);
            __asm__("" : "+x"(sums[side][t]));   // in this order: there are no registers for another
          });
        });
      });
    });
    each<T>([&](auto t) __attribute__((always_inline)) {
      const float scale = inputs[t].scale256[b];
      const int16_t* const totals = inputs[t].sum256 + b * 16;
      if constexpr (Eight::kMinima) {
        sum[t] = add_block(sum[t], scale, eight.d, _mm256_hadd_epi32(sums[0][t], sums[1][t]), negated_product(eight.dmin, eight.minus(totals)));
      } else if constexpr (Eight::Plain::kOffset == 0) {
        sum[t] = add_block(sum[t], scale, eight.d, _mm256_hadd_epi32(sums[0][t], sums[1][t]));
      } else {
        const __m256i left[2] = {_mm256_sub_epi32(sums[0][t], eight.offset(0, totals)), _mm256_sub_epi32(sums[1][t], eight.offset(1, totals))};
        sum[t] = add_block(sum[t], scale, eight.d, _mm256_hadd_epi32(left[0], left[1]));
      }
    });
  }
  for (size_t t = 0; t < T; ++t) _mm256_storeu_ps(args.outputs[token + t] + args.first + first, sum[t]);
}

// ------------------------------------------------------------------ blocks of 32
//
// weights(column of blocks, side, w): of columns [8 i, 8 i + 8) w[i], as avx2.h's weights() has them; scales(column of blocks): d
// and, of types that have one, m.

struct OneScale {
  struct Scale {
    __m256 first;
  };
  static Scale scales(const std::byte* block) { return {eight_halves(block)}; }
};

struct EightQ8_0 : OneScale {
  using Plain = WeightsQ8_0;
  static void weights(const std::byte* block, size_t side, __m256i w[4]) {
    for (size_t i = 0; i < 4; ++i) w[i] = load(block + 16 + i * 64 + side * 32);
  }
};
struct EightQ4_0 : OneScale {
  using Plain = WeightsQ4_0;
  static void weights(const std::byte* block, size_t side, __m256i w[4]) {
    for (size_t i = 0; i < 2; ++i) {
      const __m256i v = load(block + 16 + i * 64 + side * 32);
      w[i] = low_nibbles(v), w[i + 2] = high_nibbles(v);
    }
  }
};
// 16 in each of eight bytes whose bit is set in byte `first` of a row's bits, or in byte `second` of those of the row beside it.
inline __m256i eight_fifth_bits(__m256i bits, char first, char second) {
  const char i = first, j = second;
  const __m256i own = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201));
  const __m256i spread = _mm256_shuffle_epi8(bits, _mm256_broadcastsi128_si256(_mm_setr_epi8(i, i, i, i, i, i, i, i, j, j, j, j, j, j, j, j)));
  return _mm256_and_si256(_mm256_cmpeq_epi8(_mm256_and_si256(spread, own), own), _mm256_set1_epi8(16));
}
struct EightQ5_0 : OneScale {
  using Plain = WeightsQ5_0;
  static void weights(const std::byte* block, size_t side, __m256i w[4]) {
    const __m256i bits = load(block + 16);   // four bytes of each row
    const auto fifth = [&](size_t byte) { return eight_fifth_bits(bits, static_cast<char>(side * 8 + byte), static_cast<char>(side * 8 + 4 + byte)); };
    for (size_t i = 0; i < 2; ++i) {
      const __m256i v = load(block + 48 + i * 64 + side * 32);
      w[i] = _mm256_or_si256(low_nibbles(v), fifth(i));
      w[i + 2] = _mm256_or_si256(high_nibbles(v), fifth(i + 2));
    }
  }
};

struct EightIQ4NL : OneScale {
  using Plain = WeightsIQ4NL;
  static void weights(const std::byte* block, size_t side, __m256i w[4]) {
    EightQ4_0::weights(block, side, w);
    for (size_t i = 0; i < 4; ++i) w[i] = non_linear(w[i]);
  }
};
struct EightQ4_1 {
  using Plain = WeightsQ4_1;
  static TwoHalves scales(const std::byte* block) { return TwoHalves(load(block)); }
  static void weights(const std::byte* block, size_t side, __m256i w[4]) { EightQ4_0::weights(block + 16, side, w); }
};
struct EightQ5_1 {
  using Plain = WeightsQ5_1;
  static TwoHalves scales(const std::byte* block) { return TwoHalves(halves_of_words<false>(load(block), load(block + 32))); }
  static void weights(const std::byte* block, size_t side, __m256i w[4]) {
    const __m256i bits = load(block + side * 32);   // behind the scales
    EightQ4_0::weights(block + 48, side, w);
    for (size_t i = 0; i < 4; ++i) w[i] = _mm256_or_si256(w[i], eight_fifth_bits(bits, static_cast<char>(4 + i), static_cast<char>(12 + i)));
  }
};

template <class Arithmetic, class Eight, bool kPlain, size_t T>
void interleaved_32(const DotRows& args, size_t first, size_t token, const Ahead& ahead) {
  using Plain = typename Eight::Plain;
  const InputRow* inputs = args.inputs + token;
  Columns<Gather, Plain, kPlain, 1> columns(args, first);
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  for (size_t b = 0; b < args.n / 32; ++b) {
    const std::byte* const block = columns.template take<1>(b);
    if constexpr (!kPlain) ask_ahead<Plain::kBytes * kInterleavedRows>(block, ahead);
    __m256i products[T];
    each<2>([&](auto side) __attribute__((always_inline)) {
      __m256i w[4];
      Eight::weights(block, side, w);
      each<T>([&](auto t) __attribute__((always_inline)) {
        const int8_t* const x = inputs[t].q32 + b * 32;
        const __m256i sums = Arithmetic::template four_dots<Plain>(w, eight_columns(x), eight_columns(x + 8), eight_columns(x + 16), eight_columns(x + 24));
        products[t] = side == 0 ? sums : _mm256_hadd_epi32(products[t], sums);
        __asm__("" : "+x"(products[t]));
      });
    });
    const auto scales = Eight::scales(block);
    each<T>([&](auto t) __attribute__((always_inline)) {
      constexpr int kOffset = Plain::kSigned ? Arithmetic::kSignedOffset : Plain::kOffset;
      if constexpr (kOffset > 0) products[t] = _mm256_sub_epi32(products[t], _mm256_set1_epi32(kOffset * inputs[t].sum32[b]));
      if constexpr (Plain::kMinimum)
        sum[t] = add_block(sum[t], inputs[t].scale32[b], scales.first, products[t], _mm256_mul_ps(scales.second, _mm256_set1_ps(static_cast<float>(inputs[t].sum32[b]))));
      else
        sum[t] = add_block(sum[t], inputs[t].scale32[b], scales.first, products[t]);
    });
  }
  for (size_t t = 0; t < T; ++t) columns.eight.store(sum[t], args.outputs[token + t] + args.first + first);
}

// A type's kernels for rows that lie so.
template <class Eight_> struct Of256 {
  static constexpr size_t kMost = 4;
  template <class Arithmetic, class, size_t T> static constexpr auto kernel = interleaved_256<Arithmetic, Eight_, T>;
};
template <class Eight_> struct Of32 {
  static constexpr size_t kMost = 4;
  template <class Arithmetic, class, size_t T> static constexpr auto kernel = interleaved_32<Arithmetic, Eight_, false, T>;
};
template <class Weights> struct Interleaved;
template <> struct Interleaved<WeightsQ4K> : Of256<EightQ4K> {};
template <> struct Interleaved<WeightsQ5K> : Of256<EightQ5K> {};
template <> struct Interleaved<WeightsQ6K> : Of256<EightQ6K> {};
template <> struct Interleaved<WeightsIQ4XS> : Of256<EightIQ4XS> {};
template <> struct Interleaved<WeightsQ8_0> : Of32<EightQ8_0> {};
template <> struct Interleaved<WeightsQ4_0> : Of32<EightQ4_0> {};
template <> struct Interleaved<WeightsQ5_0> : Of32<EightQ5_0> {};
template <> struct Interleaved<WeightsQ4_1> : Of32<EightQ4_1> {};
template <> struct Interleaved<WeightsQ5_1> : Of32<EightQ5_1> {};
template <> struct Interleaved<WeightsIQ4NL> : Of32<EightIQ4NL> {};

// Rows as they lie in a file: those of some types are brought together from kFrom tokens on. For fewer, to read rows from end to end
// is kinder to memories that want it so.
template <class Few, class> struct PlainRows : Few {};
template <class Eight_, size_t kFrom> struct Gathered32 {
  static constexpr size_t kMost = 4;
  template <class Arithmetic, class Weights, size_t T>
  static constexpr auto kernel = [] {
    if constexpr (T < kFrom) return eight_rows_32<Arithmetic, Weights, T>;
    else return interleaved_32<Arithmetic, Eight_, true, T>;
  }();
};
template <class Few> struct PlainRows<Few, WeightsQ8_0> : Gathered32<EightQ8_0, 2> {};
template <class Few> struct PlainRows<Few, WeightsQ5_0> : Gathered32<EightQ5_0, 2> {};
template <class Few> struct PlainRows<Few, WeightsQ4_0> : Gathered32<EightQ4_0, 1> {};
template <class Few> struct PlainRows<Few, WeightsIQ4NL> : Gathered32<EightIQ4NL, 1> {};

template <class Few, class Arithmetic, class Weights>
void few_tokens_as_they_lie(const DotRows& args) {
  if constexpr (kHasCut<Weights>)
    if (args.interleaved) return few_tokens<Interleaved<Weights>, Arithmetic, Weights>(args);
  few_tokens<PlainRows<Few, Weights>, Arithmetic, Weights>(args);
}

}  // namespace
}  // namespace wenqu::engine::cpu
