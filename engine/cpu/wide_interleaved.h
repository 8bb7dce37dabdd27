// The same as few_interleaved.h for AVX-512 with VNNI, and for up to eight tokens: a vector of 64 bytes has eight columns of all
// eight rows. Sums of 32 bits, two of each row, lie as the rows' words do (kPlaces) until a block's end.
//
// A sum of products that fits 16 bits meets its scale in those of 16 bits that have nothing above them: the instruction that
// multiplies pairs takes the sum's low half times the scale and its high half times zero, and adds that up.
//
// Everything here has internal linkage: files of different instruction sets must not share one copy.
#pragma once

#include "engine/cpu/few_interleaved.h"
#include "engine/cpu/vnni.h"

namespace wenqu::engine::cpu {
namespace {

inline __m512i eight_words(const std::byte* p) { return _mm512_loadu_si512(p); }
inline __m512i columns_of_all(const int8_t* x) {
  int64_t bytes;
  std::memcpy(&bytes, x, 8);
  return _mm512_set1_epi64(bytes);
}
inline __m512i low_nibbles(__m512i v) { return _mm512_and_si512(v, _mm512_set1_epi8(15)); }
inline __m512i high_nibbles(__m512i v) { return _mm512_and_si512(_mm512_srli_epi16(v, 4), _mm512_set1_epi8(15)); }
// v | (bits & mask)
inline __m512i with_bits(__m512i v, __m512i bits, char mask) { return _mm512_ternarylogic_epi64(v, bits, _mm512_set1_epi8(mask), 0xF8); }
inline __m512i non_linear_above_zero(__m512i q) {   // 128 added
  return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(_mm_xor_si128(load_half(kNonLinear), _mm_set1_epi8(-128))), q);
}
inline __m512i in_each_part(__m128i v) { return _mm512_broadcast_i32x4(v); }
inline __m512i both_sides(__m256i first, __m256i second) { return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1); }

// The sums of a vector's pairs, in the rows' order.
inline __m256i sums_of_rows(__m512i sums) { return _mm256_hadd_epi32(_mm512_castsi512_si256(sums), _mm512_extracti64x4_epi64(sums, 1)); }

// Bytes of four of each row in the rows' order become eight of each word: kByte at places 0 and 4, or everywhere.
template <char kByte, bool kEverywhere>
inline __m512i in_words(__m256i fours) {
  constexpr char k = kByte, l = kByte + 4, m = kByte + 8, n = kByte + 12;
  const auto two = [](char a, char b) {
    const char c = kEverywhere ? a : -1, d = kEverywhere ? b : -1;
    return _mm_setr_epi8(a, c, c, c, a, c, c, c, b, d, d, d, b, d, d, d);
  };
  const __m512i places = both_sides(_mm256_broadcastsi128_si256(two(k, l)), _mm256_broadcastsi128_si256(two(m, n)));
  return _mm512_shuffle_epi8(both_sides(fours, fours), places);
}
// Number kPart of each word's four of 16 bits, in all of them.
template <char kPart>
inline __m512i everywhere(__m512i words) {
  constexpr char k = kPart * 2, l = k + 1, m = k + 8, n = k + 9;
  return _mm512_shuffle_epi8(words, in_each_part(_mm_setr_epi8(k, l, k, l, k, l, k, l, m, n, m, n, m, n, m, n)));
}
// The signed bytes of each word in 16 bits: even ones, odd ones.
struct EvenAndOdd {
  __m512i even, odd;
  explicit EvenAndOdd(__m512i bytes) : even(_mm512_srai_epi16(_mm512_slli_epi16(bytes, 8), 8)), odd(_mm512_srai_epi16(bytes, 8)) {}
  // Their products with four numbers each, added to the sums.
  __m512i add_products(__m512i sums, const int16_t* for_even, const int16_t* for_odd) const {
    const auto four = [](const int16_t* p) { return columns_of_all(reinterpret_cast<const int8_t*>(p)); };
    return _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(sums, even, four(for_even)), odd, four(for_odd));
  }
};

// ------------------------------------------------------------------ rows as they lie in a file
//
// Some thirty instructions for what eight rows of 64 bytes hold, less than multiplying saves.

// Eight vectors of a word of each place, out of eight words of each row.
inline void put_eight_words(const EightRows& eight, size_t at, std::byte* out) {
  __m512i v[8], u[8];
  each<8>([&](auto p) __attribute__((always_inline)) { v[p] = eight_words(place(eight, p) + at); });
  each<4>([&](auto i) __attribute__((always_inline)) {   // of two places, the even words and the odd ones
    u[i * 2] = _mm512_unpacklo_epi64(v[i * 2], v[i * 2 + 1]);
    u[i * 2 + 1] = _mm512_unpackhi_epi64(v[i * 2], v[i * 2 + 1]);
  });
  each<2>([&](auto odd) __attribute__((always_inline)) {
    const __m512i a[2] = {_mm512_shuffle_i64x2(u[odd], u[2 + odd], 0x88), _mm512_shuffle_i64x2(u[odd], u[2 + odd], 0xDD)};           // words 0 and 4, 2 and 6
    const __m512i b[2] = {_mm512_shuffle_i64x2(u[4 + odd], u[6 + odd], 0x88), _mm512_shuffle_i64x2(u[4 + odd], u[6 + odd], 0xDD)};
    each<2>([&](auto second) __attribute__((always_inline)) {
      _mm512_storeu_si512(out + (second * 2 + odd) * 64, _mm512_shuffle_i64x2(a[second], b[second], 0x88));
      _mm512_storeu_si512(out + (4 + second * 2 + odd) * 64, _mm512_shuffle_i64x2(a[second], b[second], 0xDD));
    });
  });
}
inline void put_four_words(const EightRows& eight, size_t at, std::byte* out) {
  const auto two = [&](size_t first) { return _mm512_mask_broadcast_i64x4(_mm512_castsi256_si512(load(place(eight, first) + at)), 0xF0, load(place(eight, first + 2) + at)); };
  const __m512i a = two(0), b = two(1), c = two(4), d = two(5);
  const __m512i even[2] = {_mm512_unpacklo_epi64(a, b), _mm512_unpacklo_epi64(c, d)}, odd[2] = {_mm512_unpackhi_epi64(a, b), _mm512_unpackhi_epi64(c, d)};
  _mm512_storeu_si512(out, _mm512_shuffle_i64x2(even[0], even[1], 0x88));
  _mm512_storeu_si512(out + 64, _mm512_shuffle_i64x2(odd[0], odd[1], 0x88));
  _mm512_storeu_si512(out + 128, _mm512_shuffle_i64x2(even[0], even[1], 0xDD));
  _mm512_storeu_si512(out + 192, _mm512_shuffle_i64x2(odd[0], odd[1], 0xDD));
}
inline void put_two_words(const EightRows& eight, size_t at, std::byte* out) {
  const auto four = [&](size_t first) {
    __m512i v = _mm512_castsi128_si512(load_half(place(eight, first) + at));
    v = _mm512_mask_broadcast_i32x4(v, 0x00F0, load_half(place(eight, first + 2) + at));
    v = _mm512_mask_broadcast_i32x4(v, 0x0F00, load_half(place(eight, first + 4) + at));
    return _mm512_mask_broadcast_i32x4(v, 0xF000, load_half(place(eight, first + 6) + at));
  };
  const __m512i even = four(0), odd = four(1);
  _mm512_storeu_si512(out, _mm512_unpacklo_epi64(even, odd));
  _mm512_storeu_si512(out + 64, _mm512_unpackhi_epi64(even, odd));
}
inline void put_word(const EightRows& eight, size_t at, std::byte* out) {
  __m512i v = _mm512_setzero_si512();
  each<8>([&](auto p) __attribute__((always_inline)) {
    int64_t word;
    std::memcpy(&word, place(eight, p) + at, 8);
    v = _mm512_mask_set1_epi64(v, static_cast<__mmask8>(1 << p), word);
  });
  _mm512_storeu_si512(out, v);
}
// kBytes of each row, in their order.
template <size_t kBytes>
inline void put_piece(const EightRows& eight, size_t at, std::byte* out) {
  static_assert(kBytes == 0 || kBytes == 2 || kBytes == 4);
  if constexpr (kBytes == 2) {
    __m128i v = _mm_setzero_si128();
    each<8>([&](auto r) __attribute__((always_inline)) { v = _mm_insert_epi16(v, load16(eight.rows[r] + at), r); });
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out), v);
  } else if constexpr (kBytes == 4) {
    __m256i v = _mm256_setzero_si256();
    each<8>([&](auto r) __attribute__((always_inline)) { v = _mm256_mask_set1_epi32(v, static_cast<__mmask8>(1 << r), load32(eight.rows[r] + at)); });
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out), v);
  }
}

// As few_interleaved.h's.
struct GatherWide {
  template <class Weights>
  __attribute__((always_inline)) static void column(const EightRows& eight, size_t at, std::byte* out) {
    constexpr Cut kCut = Weights::kCut;
    constexpr size_t kFirst = kCut.before(), kWords = kCut.words;
    put_piece<kCut.first>(eight, at, out);
    put_piece<kCut.second>(eight, at + kCut.first, out + kCut.first * kInterleavedRows);
    std::byte* const words = out + kFirst * kInterleavedRows;
    constexpr size_t kEights = kWords / 8, kFours = kWords % 8 / 4, kTwos = kWords % 4 / 2, kOnes = kWords % 2;
    each<kEights>([&](auto i) __attribute__((always_inline)) { put_eight_words(eight, at + kFirst + i * 64, words + i * 512); });
    if constexpr (kFours > 0) put_four_words(eight, at + kFirst + kEights * 64, words + kEights * 512);
    if constexpr (kTwos > 0) put_two_words(eight, at + kFirst + kEights * 64 + kFours * 32, words + kEights * 512 + kFours * 256);
    if constexpr (kOnes > 0) put_word(eight, at + kFirst + (kWords - 1) * 8, words + (kWords - 1) * 64);
    put_piece<kCut.behind>(eight, at + kFirst + kWords * 8, words + kWords * 64);
  }
};

// ------------------------------------------------------------------ blocks of 256
//
// As in few_interleaved.h, with both sides at once. kUnitsInSum units' products make a sum (add) that then meets the scale (add_scaled).

struct BytesToSums {
  static __m512i add(__m512i sums, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(sums, w, x); }
  static __m512i add_scaled(__m512i sums, __m512i dots, __m512i scale) { return _mm512_dpwssd_epi32(sums, dots, scale); }
};

struct WideQ4K : EightQ4K, BytesToSums {
  static constexpr size_t kUnitsInSum = 4;   // 16 columns: 15 * 127 * 16 < 2^15
  using EightQ4K::EightQ4K;
  template <size_t kStep, size_t kUnit>
  void weights(__m512i w[2]) const {
    const __m512i v = eight_words(block + kHeader + kStep * 256 + kUnit * 64);
    w[0] = low_nibbles(v), w[1] = high_nibbles(v);
  }
  template <size_t kStep, size_t kGroup>
  __m512i scale() const { return in_words<(kStep * 2 + kGroup) % 4, false>(scales[kStep / 2]); }
};

struct WideQ5K : EightQ5K, BytesToSums {
  static constexpr size_t kUnitsInSum = 2;
  using EightQ5K::EightQ5K;
  template <size_t kStep, size_t kUnit>
  void weights(__m512i w[2]) const {
    const __m512i v = eight_words(block + kHeader + 256 + kStep * 256 + kUnit * 64), high = eight_words(block + kHeader + kUnit * 64);
    const auto shifted = [&](int by) { return by < 4 ? _mm512_slli_epi16(high, 4 - by) : _mm512_srli_epi16(high, by - 4); };
    w[0] = with_bits(low_nibbles(v), shifted(kStep * 2), 16);
    w[1] = with_bits(high_nibbles(v), shifted(kStep * 2 + 1), 16);
  }
  template <size_t kStep, size_t kGroup>
  __m512i scale() const { return in_words<(kStep * 2 + kGroup) % 4, false>(scales[kStep / 2]); }
};

// Sums of 16 bits: with four columns in each of 32, a scale would be due twice as often.
struct WideQ6K : EightQ6K {
  static constexpr size_t kSteps = 8, kGroups = 2, kUnitsInSum = 2;   // fewer groups, so that eight tokens' sums stay in registers
  EvenAndOdd words[2];
  explicit WideQ6K(const std::byte* b) : EightQ6K(b), words{EvenAndOdd(eight_words(b + 24 * 64)), EvenAndOdd(eight_words(b + 25 * 64))} {}
  static __m512i add(__m512i sums, __m512i w, __m512i x) { return _mm512_add_epi16(sums, _mm512_maddubs_epi16(w, x)); }
  static __m512i add_scaled(__m512i sums, __m512i dots, __m512i scale) { return _mm512_dpwssd_epi32(sums, dots, scale); }
  static constexpr size_t column(size_t step, size_t group, size_t unit) { return step / 4 * 128 + (step % 2 + group * 2) * 32 + step / 2 % 2 * 16 + unit * 8; }
  template <size_t kStep, size_t kUnit>
  void weights(__m512i w[2]) const {
    constexpr size_t kHalf = kStep / 4, kPart = kStep / 2 % 2, kFirst = kStep % 2;
    const __m512i low = eight_words(block + (kHalf * 8 + kFirst * 4 + kPart * 2 + kUnit) * 64), high = eight_words(block + (16 + kHalf * 4 + kPart * 2 + kUnit) * 64);
    w[0] = with_bits(low_nibbles(low), _mm512_slli_epi16(high, kFirst == 0 ? 4 : 2), 0x30);
    w[1] = with_bits(high_nibbles(low), kFirst == 0 ? high : _mm512_srli_epi16(high, 2), 0x30);
  }
  template <size_t kStep, size_t kGroup>
  __m512i scale() const {
    const EvenAndOdd& scales = words[kStep / 4];
    return everywhere<kStep % 2 + kGroup * 2>(kStep / 2 % 2 == 0 ? scales.even : scales.odd);
  }
  __m512i offset(const int16_t* sums) const {
    const __m512i first = words[0].add_products(_mm512_setzero_si512(), sums, sums + 8);
    return _mm512_slli_epi32(words[1].add_products(first, sums + 4, sums + 12), Plain::kOffsetBits);
  }
};

struct WideIQ4XS : EightIQ4XS {
  static constexpr size_t kSteps = 8, kGroups = 1, kUnits = 4, kUnitsInSum = 4;
  static constexpr size_t column(size_t step, size_t, size_t unit) { return step * 32 + unit % 2 * 16 + unit / 2 * 8; }
  __m512i eight_scales;
  explicit WideIQ4XS(const std::byte* b) : EightIQ4XS(b), eight_scales(both_sides(scales[0], scales[1])) {}
  static __m512i add(__m512i sums, __m512i w, __m512i x) { return _mm512_dpbusd_epi32(sums, w, x); }
  static __m512i add_scaled(__m512i sums, __m512i dots, __m512i scale) { return _mm512_add_epi32(sums, _mm512_mullo_epi32(dots, scale)); }
  template <size_t kStep, size_t kUnit>
  void weights(__m512i w[1]) const {
    const __m512i v = eight_words(block + 64 + (kStep * 2 + kUnit / 2) * 64);
    w[0] = non_linear_above_zero(kUnit % 2 == 0 ? low_nibbles(v) : high_nibbles(v));
  }
  template <size_t kStep, size_t>
  __m512i scale() const {
    constexpr char k = kStep, l = kStep + 8;
    return _mm512_srai_epi32(_mm512_shuffle_epi8(eight_scales, in_each_part(_mm_setr_epi8(-1, -1, -1, k, -1, -1, -1, k, -1, -1, -1, l, -1, -1, -1, l))), 24);
  }
  __m512i offset(const int16_t* sums) const {   // of sub-blocks of 32, even ones before odd ones
    alignas(16) int16_t eight[8];
    const __m128i in_order = sums_of_32(sums);
    _mm_store_si128(reinterpret_cast<__m128i*>(eight), _mm_shuffle_epi8(in_order, _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15)));
    return _mm512_slli_epi32(EvenAndOdd(eight_scales).add_products(_mm512_setzero_si512(), eight, eight + 4), 7);
  }
};

template <class Wide, bool kPlain, size_t T>
void wide_256(const DotRows& args, size_t first, size_t token, const Ahead& ahead) {
  Columns<GatherWide, typename Wide::Plain, kPlain, 1> columns(args, first);
  const InputRow* inputs = args.inputs + token;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  for (size_t b = 0; b < args.n / 256; ++b) {
    const std::byte* const block = columns.template take<1>(b);
    const Wide eight(block);
    const int8_t* x[T];
    for (size_t t = 0; t < T; ++t) x[t] = inputs[t].q256 + b * 256;
    __m512i sums[T];
    each<T>([&](auto t) __attribute__((always_inline)) { sums[t] = _mm512_setzero_si512(); });
    each<Wide::kSteps>([&](auto step) __attribute__((always_inline)) {
      __m512i scale[Wide::kGroups], dots[T][Wide::kGroups];
      each<Wide::kGroups>([&](auto g) __attribute__((always_inline)) { scale[g] = eight.template scale<step, g>(); });
      each<Wide::kUnits>([&](auto unit) __attribute__((always_inline)) {
        if constexpr (!kPlain) ask_for_part<Wide::kBytes, Wide::kSteps * Wide::kUnits, step * Wide::kUnits + unit>(block, ahead);
        __m512i w[Wide::kGroups];
        eight.template weights<step, unit>(w);
        each<T>([&](auto t) __attribute__((always_inline)) {
          each<Wide::kGroups>([&](auto g) __attribute__((always_inline)) {
            dots[t][g] = Wide::add(unit % Wide::kUnitsInSum == 0 ? _mm512_setzero_si512() : dots[t][g], w[g], columns_of_all(x[t] + Wide::column(step, g, unit)));
            if constexpr (unit % Wide::kUnitsInSum == Wide::kUnitsInSum - 1) sums[t] = Wide::add_scaled(sums[t], dots[t][g], scale[g]);
          });
        });
      });
    });
    each<T>([&](auto t) __attribute__((always_inline)) {
      const float scale = inputs[t].scale256[b];
      const int16_t* const totals = inputs[t].sum256 + b * 16;
      if constexpr (Wide::kMinima)
        sum[t] = add_block(sum[t], scale, eight.d, sums_of_rows(sums[t]), negated_product(eight.dmin, eight.minus(totals)));
      else
        sum[t] = add_block(sum[t], scale, eight.d, sums_of_rows(_mm512_sub_epi32(sums[t], eight.offset(totals))));
    });
  }
  for (size_t t = 0; t < T; ++t) columns.eight.store(sum[t], args.outputs[token + t] + args.first + first);
}

// ------------------------------------------------------------------ blocks of 32
//
// weights(column of blocks, w): of columns [8 i, 8 i + 8) w[i], signed ones 128 above their values.

struct WideQ8_0 : EightQ8_0 {
  static void weights(const std::byte* block, __m512i w[4]) {
    for (size_t i = 0; i < 4; ++i) w[i] = _mm512_xor_si512(eight_words(block + 16 + i * 64), _mm512_set1_epi8(-128));
  }
};
struct WideQ4_0 : EightQ4_0 {
  static void weights(const std::byte* block, __m512i w[4]) {
    for (size_t i = 0; i < 2; ++i) {
      const __m512i v = eight_words(block + 16 + i * 64);
      w[i] = low_nibbles(v), w[i + 2] = high_nibbles(v);
    }
  }
};
struct WideIQ4NL : EightIQ4NL {
  static void weights(const std::byte* block, __m512i w[4]) {
    WideQ4_0::weights(block, w);
    for (size_t i = 0; i < 4; ++i) w[i] = non_linear_above_zero(w[i]);
  }
};
struct WideQ4_1 : EightQ4_1 {
  static void weights(const std::byte* block, __m512i w[4]) { WideQ4_0::weights(block + 16, w); }
};

// Adds 16 to each of a word's eight bytes whose bit is set in all of `bits`.
inline __m512i with_fifth_bits(__m512i w, __m512i bits) {
  const __mmask64 set = _mm512_test_epi8_mask(bits, _mm512_set1_epi64(static_cast<long long>(0x8040201008040201)));
  return _mm512_mask_add_epi8(w, set, w, _mm512_set1_epi8(16));
}
struct WideQ5_0 : EightQ5_0 {
  static void weights(const std::byte* block, __m512i w[4]) {
    const __m256i bits = load(block + 16);
    WideQ4_0::weights(block + 32, w);
    each<4>([&](auto i) __attribute__((always_inline)) { w[i] = with_fifth_bits(w[i], in_words<i, true>(bits)); });
  }
};
struct WideQ5_1 : EightQ5_1 {
  static void weights(const std::byte* block, __m512i w[4]) {
    const __m512i bits = eight_words(block);   // behind the scales
    WideQ4_0::weights(block + 48, w);
    each<4>([&](auto i) __attribute__((always_inline)) {
      constexpr char k = 4 + i, l = 12 + i;
      w[i] = with_fifth_bits(w[i], _mm512_shuffle_epi8(bits, in_each_part(_mm_setr_epi8(k, k, k, k, k, k, k, k, l, l, l, l, l, l, l, l))));
    });
  }
};

inline __m512 low_and_high(__m256 low, __m256 high) { return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1); }
inline __m256 low_half(__m512 v) { return _mm512_castps512_ps256(v); }
inline __m256 high_half(__m512 v) { return _mm512_extractf32x8_ps(v, 1); }

// Two columns of blocks at once, whose results lie side by side, and are added one after the other; or the last one.
template <class Wide, size_t T, size_t kColumns>
__attribute__((always_inline)) inline void add_columns(const std::byte* block, const InputRow* inputs, size_t b, __m256 (&sum)[T]) {
  using Plain = typename Wide::Plain;
  constexpr size_t kBytes = Plain::kBytes * kInterleavedRows;
  constexpr int kOffset = Plain::kSigned ? 128 : Plain::kOffset;
  __m512i products[T][kColumns];
  each<kColumns>([&](auto c) __attribute__((always_inline)) {
    __m512i w[4];
    Wide::weights(block + c * kBytes, w);
    each<T>([&](auto t) __attribute__((always_inline)) {
      const int8_t* const x = inputs[t].q32 + (b + c) * 32;
      products[t][c] = _mm512_setzero_si512();
      each<4>([&](auto i) __attribute__((always_inline)) { products[t][c] = _mm512_dpbusd_epi32(products[t][c], w[i], columns_of_all(x + i * 8)); });
    });
  });
  const auto scales = Wide::scales(block);
  if constexpr (kColumns == 1) {
    each<T>([&](auto t) __attribute__((always_inline)) {
      const int total = inputs[t].sum32[b];
      const __m256i p = _mm256_sub_epi32(sums_of_rows(products[t][0]), _mm256_set1_epi32(kOffset * total));
      if constexpr (Plain::kMinimum)
        sum[t] = add_block(sum[t], inputs[t].scale32[b], scales.first, p, _mm256_mul_ps(scales.second, _mm256_set1_ps(static_cast<float>(total))));
      else
        sum[t] = add_block(sum[t], inputs[t].scale32[b], scales.first, p);
    });
  } else {
    const auto next = Wide::scales(block + kBytes);
    const __m512 d = low_and_high(scales.first, next.first);
    const __m512i even = _mm512_setr_epi32(0, 2, 8, 10, 4, 6, 12, 14, 16, 18, 24, 26, 20, 22, 28, 30), odd = _mm512_or_si512(even, _mm512_set1_epi32(1));
    // Of two numbers of 16 bits, the first for the first column and the second for the other, times this.
    const auto own = [](int factor) { return both_sides(_mm256_set1_epi32(factor & 0xFFFF), _mm256_set1_epi32(static_cast<int>(static_cast<unsigned>(factor) << 16))); };
    each<T>([&](auto t) __attribute__((always_inline)) {
      __m512i p = _mm512_add_epi32(_mm512_permutex2var_epi32(products[t][0], even, products[t][1]), _mm512_permutex2var_epi32(products[t][0], odd, products[t][1]));
      const __m512i totals = _mm512_set1_epi32(load32(inputs[t].sum32 + b));
      const float* const scale32 = inputs[t].scale32 + b;
      if constexpr (kOffset > 0) p = _mm512_dpwssd_epi32(p, totals, own(-kOffset));
      if constexpr (Plain::kMinimum) {
        const __m512 m = low_and_high(scales.second, next.second);
        const __m512 both = _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(p), _mm512_mul_ps(m, _mm512_cvtepi32_ps(_mm512_madd_epi16(totals, own(1)))));
        sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(scale32[0]), low_half(both), sum[t]);
        sum[t] = _mm256_fmadd_ps(_mm256_set1_ps(scale32[1]), high_half(both), sum[t]);
      } else {
        const __m512 both = _mm512_mul_ps(low_and_high(_mm256_set1_ps(scale32[0]), _mm256_set1_ps(scale32[1])), _mm512_cvtepi32_ps(p));
        sum[t] = _mm256_fmadd_ps(scales.first, low_half(both), sum[t]);
        sum[t] = _mm256_fmadd_ps(next.first, high_half(both), sum[t]);
      }
    });
  }
}

template <class Wide, bool kPlain, size_t T>
void wide_32(const DotRows& args, size_t first, size_t token, const Ahead& ahead) {
  Columns<GatherWide, typename Wide::Plain, kPlain, 2> columns(args, first);
  const size_t blocks = args.n / 32;
  __m256 sum[T];
  for (size_t t = 0; t < T; ++t) sum[t] = _mm256_setzero_ps();
  size_t b = 0;
  for (; b + 2 <= blocks; b += 2) {
    const std::byte* const block = columns.template take<2>(b);
    if constexpr (!kPlain) ask_ahead<2 * Wide::Plain::kBytes * kInterleavedRows>(block, ahead);
    add_columns<Wide, T, 2>(block, args.inputs + token, b, sum);
  }
  if (b < blocks) add_columns<Wide, T, 1>(columns.template take<1>(b), args.inputs + token, b, sum);
  for (size_t t = 0; t < T; ++t) columns.eight.store(sum[t], args.outputs[token + t] + args.first + first);
}

// A type's kernels: for rows that lie side by side and, from two tokens on, for those that lie as in a file; to read these from
// end to end is as fast for one token, and kinder to memories that want it so.
template <class Wide, bool kPlain> struct WideOf256 {
  static constexpr size_t kMost = 8;
  template <class Arithmetic, class Weights, size_t T>
  static constexpr auto kernel = [] {
    if constexpr (kPlain && T == 1) return eight_rows_256<Arithmetic, Weights, 1>;
    else return wide_256<Wide, kPlain, T>;
  }();
};
template <class Wide, bool kPlain, size_t kMost_ = 8> struct WideOf32 {
  static constexpr size_t kMost = kMost_;
  template <class Arithmetic, class Weights, size_t T>
  static constexpr auto kernel = [] {
    if constexpr (kPlain && T == 1) return eight_rows_32<Arithmetic, Weights, 1>;
    else return wide_32<Wide, kPlain, T>;
  }();
};
// Types that models of today hardly have take four tokens at most: a compiler needs seconds for each number.
template <class Weights, bool kPlain> struct Wide;
template <bool kPlain> struct Wide<WeightsQ4K, kPlain> : WideOf256<WideQ4K, kPlain> {};
template <bool kPlain> struct Wide<WeightsQ5K, kPlain> : WideOf256<WideQ5K, kPlain> {};
template <bool kPlain> struct Wide<WeightsQ6K, kPlain> : WideOf256<WideQ6K, kPlain> {};
template <bool kPlain> struct Wide<WeightsIQ4XS, kPlain> : WideOf256<WideIQ4XS, kPlain> {};
template <bool kPlain> struct Wide<WeightsQ8_0, kPlain> : WideOf32<WideQ8_0, kPlain> {};
template <bool kPlain> struct Wide<WeightsQ4_0, kPlain> : WideOf32<WideQ4_0, kPlain, 4> {};
template <bool kPlain> struct Wide<WeightsQ5_0, kPlain> : WideOf32<WideQ5_0, kPlain> {};
template <bool kPlain> struct Wide<WeightsQ4_1, kPlain> : WideOf32<WideQ4_1, kPlain, 4> {};
template <bool kPlain> struct Wide<WeightsQ5_1, kPlain> : WideOf32<WideQ5_1, kPlain, 4> {};
template <bool kPlain> struct Wide<WeightsIQ4NL, kPlain> : WideOf32<WideIQ4NL, kPlain, 4> {};

}  // namespace
}  // namespace wenqu::engine::cpu
