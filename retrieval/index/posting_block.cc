#include "retrieval/index/posting_block.h"

#include <algorithm>
#include <limits>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace wenqu::retrieval {
namespace {

// The rest of a number whose first byte, `value`, says that there is more.
const uint8_t* read_more(const uint8_t* at, const uint8_t* end, uint32_t& value) {
  value &= 0x7F;
  for (unsigned shift = 7; shift < 35 && at != end; shift += 7) {
    const uint32_t byte = *at++;
    value |= (byte & 0x7F) << shift;
    if (byte < 0x80) return at;
  }
  return nullptr;
}

const uint8_t* read_number(const uint8_t* at, const uint8_t* end, uint32_t& value) {
  if (at == end) return nullptr;
  value = *at++;
  return value < 0x80 ? at : read_more(at, end, value);
}

// Gives where the posting ends; null where it does not fit.
const uint8_t* read_posting(const uint8_t* at, const uint8_t* end, uint32_t& distance, uint32_t& frequency) {
  uint32_t code = 0;
  at = read_number(at, end, code);
  distance = code >> 1;
  frequency = 1;
  return at && (code & 1) == 0 ? read_number(at, end, frequency) : at;
}

// Only passage 0 has no distance.
bool is_posting(uint32_t distance, uint32_t frequency, bool may_be_passage_0) {
  return frequency != 0 && (distance != 0 || may_be_passage_0);
}

void end_with(size_t count, PostingBlock& block) {
  std::fill(block.docs.begin() + static_cast<ptrdiff_t>(count), block.docs.end(), std::numeric_limits<int32_t>::max());
  std::fill(block.frequencies.begin() + static_cast<ptrdiff_t>(count), block.frequencies.end(), 1);
  block.size = count;
}

// The longest posting: two numbers of five bytes.
constexpr ptrdiff_t kMostBytes = 10;

// A whole block, where as many bytes can be read as the longest postings have. Whether a number has one byte or two cannot be
// guessed, so nothing branches on it; nor on what is checked, which is told at the end.
const uint8_t* decode_roomy(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, PostingBlock& block) {
  int64_t doc = std::max(before, 0);
  bool bad = false;
  for (size_t i = 0; i < PostingBlock::kMost; ++i) {
    const uint32_t low = bytes[0], high = bytes[1];
    const uint32_t more = low >> 7;
    uint32_t code = (low & 0x7F) | ((high & 0x7F) << 7 & (0 - more));
    if ((low & high) >= 0x80) {
      code = low;
      bytes = read_more(bytes + 1, end, code);
      if (!bytes) return nullptr;
    } else {
      bytes += 1 + more;
    }
    const uint32_t told = 1 - (code & 1);
    uint32_t frequency = told ? *bytes : 1;
    bytes += told;
    if (frequency >= 0x80) {
      bytes = read_more(bytes, end, frequency);
      if (!bytes) return nullptr;
    }
    const uint32_t distance = code >> 1;
    doc += distance;
    bad |= !is_posting(distance, frequency, i == 0 && before < 0);
    block.docs[i] = static_cast<int32_t>(doc);
    block.frequencies[i] = frequency;
  }
  block.size = PostingBlock::kMost;
  return bad || doc >= limit ? nullptr : bytes;
}

#if defined(__x86_64__)

// What the bits of eight neighbours tell, so that they are read at once. A posting is not parted: where the frequency
// of the last passage is beyond the eight, the passage is read again with the next ones.
struct EightNumbers {
  struct alignas(16) Shuffle {
    std::array<uint8_t, 16> from{};
  };
  struct Cut {
    uint8_t all = 0;     // a bit for each number that is whole
    uint8_t bytes = 0;   // of these
    uint8_t last = 0;    // of the last
  };
  std::array<Shuffle, 256> apart;     // by which of eight bytes go on: bytes to 16-bit numbers
  std::array<Cut, 256> cut;           // likewise
  std::array<uint8_t, 256> passages;  // by which of eight numbers is even: those that are no frequencies
  std::array<Shuffle, 256> together;  // by which of eight numbers are wanted: these

  static constexpr uint8_t kNothing = 0x80;

  constexpr EightNumbers() : apart(), cut(), passages(), together() {
    for (size_t bits = 0; bits < 256; ++bits) {
      apart[bits].from.fill(kNothing);
      for (size_t at = 0, number = 0; at < 8; ++number) {
        const bool is_long = (bits >> at & 1) != 0;
        if (is_long && at == 7) break;
        apart[bits].from[2 * number] = static_cast<uint8_t>(at++);
        if (is_long) apart[bits].from[2 * number + 1] = static_cast<uint8_t>(at++);
        cut[bits] = {static_cast<uint8_t>((2u << number) - 1), static_cast<uint8_t>(at), static_cast<uint8_t>(is_long ? 2 : 1)};
      }
      for (size_t number = 0; number < 8; number += (bits >> number & 1) ? 2 : 1)
        passages[bits] = static_cast<uint8_t>(passages[bits] | 1u << number);
      together[bits].from.fill(kNothing);
      for (size_t number = 0, to = 0; number < 8; ++number) {
        if ((bits >> number & 1) == 0) continue;
        together[bits].from[to++] = static_cast<uint8_t>(2 * number);
        together[bits].from[to++] = static_cast<uint8_t>(2 * number + 1);
      }
    }
  }
};
constexpr EightNumbers kEight;

#define WENQU_AVX2 __attribute__((target("avx2,popcnt")))

WENQU_AVX2 inline __m128i load(const EightNumbers::Shuffle& shuffle) {
  return _mm_load_si128(reinterpret_cast<const __m128i*>(shuffle.from.data()));
}

WENQU_AVX2 inline void store_eight(void* to, __m128i numbers) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), _mm256_cvtepu16_epi32(numbers));
}

// Sums of each number and those before it.
WENQU_AVX2 inline __m256i add_up(__m256i x) {
  x = _mm256_add_epi32(x, _mm256_slli_si256(x, 4));
  x = _mm256_add_epi32(x, _mm256_slli_si256(x, 8));
  const __m256i first_half = _mm256_permute2x128_si256(x, x, 0x08);
  return _mm256_add_epi32(x, _mm256_shuffle_epi32(first_half, 0xFF));
}

// Eight numbers of one byte or two at a time; longer ones, and what the end of the bytes is too near for, one by one. The
// distances are added up when all are read. (After Plaisance, Kurz and Lemire: Vectorized VByte decoding, 2015.)
WENQU_AVX2 const uint8_t* decode_avx2(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                                      PostingBlock& block) {
  const uint8_t* const begin = bytes;
  int64_t large = 0;   // distances read one by one
  size_t n = 0;
  while (n < count) {
    unsigned goes_on = 0xFF;
    __m128i eight{};
    if (n + 8 <= count && end - bytes >= 8) {
      eight = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes));
      goes_on = static_cast<unsigned>(_mm_movemask_epi8(eight));
    }
    if (goes_on & goes_on << 1) {
      uint32_t distance = 0, frequency = 0;
      bytes = read_posting(bytes, end, distance, frequency);
      if (!bytes) return nullptr;
      large += distance;
      block.docs[n] = static_cast<int32_t>(distance);
      block.frequencies[n++] = frequency;
      continue;
    }
    const EightNumbers::Cut cut = kEight.cut[goes_on];
    const __m128i bits = _mm_and_si128(_mm_shuffle_epi8(eight, load(kEight.apart[goes_on])), _mm_set1_epi8(0x7F));
    const __m128i numbers = _mm_maddubs_epi16(_mm_set1_epi16(static_cast<int16_t>(0x8001)), bits);   // the second byte 128 times
    const __m128i odd = _mm_slli_epi16(numbers, 15);
    const unsigned even = ~static_cast<unsigned>(_mm_movemask_epi8(_mm_packs_epi16(odd, odd))) & cut.all;
    unsigned passages = kEight.passages[even] & cut.all;
    const unsigned parted = passages & even & (cut.all ^ cut.all >> 1);
    passages ^= parted;
    bytes += parted ? cut.bytes - cut.last : cut.bytes;
    const __m128i frequencies = _mm_or_si128(_mm_andnot_si128(_mm_srai_epi16(odd, 15), _mm_srli_si128(numbers, 2)),
                                             _mm_and_si128(numbers, _mm_set1_epi16(1)));
    const __m128i together = load(kEight.together[passages]);
    store_eight(&block.docs[n], _mm_shuffle_epi8(_mm_srli_epi16(numbers, 1), together));
    store_eight(&block.frequencies[n], _mm_shuffle_epi8(frequencies, together));
    n += static_cast<size_t>(_mm_popcnt_u32(passages));
  }
  // What is rare: sums that may not fit, and passage 0.
  constexpr int64_t kMostSmall = int64_t{PostingBlock::kMost} << 14;
  if (before + large + kMostSmall > std::numeric_limits<int32_t>::max() || (before < 0 && block.docs[0] == 0))
    return decode_postings_portable(begin, end, before, limit, count, block);
  for (; n % 8 != 0; ++n) block.docs[n] = static_cast<int32_t>(block.frequencies[n] = 1);
  __m256i sum = _mm256_set1_epi32(std::max(before, 0)), bad = _mm256_setzero_si256();
  for (size_t i = 0; i < n; i += 8) {
    const __m256i distances = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(&block.docs[i]));
    const __m256i frequencies = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(&block.frequencies[i]));
    bad = _mm256_or_si256(bad, _mm256_cmpeq_epi32(_mm256_min_epu32(distances, frequencies), _mm256_setzero_si256()));
    sum = _mm256_add_epi32(sum, add_up(distances));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(&block.docs[i]), sum);
    sum = _mm256_permutevar8x32_epi32(sum, _mm256_set1_epi32(7));
  }
  if (!_mm256_testz_si256(bad, bad) || block.docs[count - 1] >= limit) return nullptr;
  end_with(count, block);
  return bytes;
}

#endif

}  // namespace

const uint8_t* decode_postings_portable(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                                        PostingBlock& block) {
  if (count == PostingBlock::kMost && end - bytes >= kMostBytes * static_cast<ptrdiff_t>(count))
    return decode_roomy(bytes, end, before, limit, block);
  int64_t doc = std::max(before, 0);  // the first distance is the passage itself
  for (size_t i = 0; i < count; ++i) {
    uint32_t distance = 0, frequency = 0;
    bytes = read_posting(bytes, end, distance, frequency);
    if (!bytes || !is_posting(distance, frequency, i == 0 && before < 0)) return nullptr;
    doc += distance;
    if (doc >= limit) return nullptr;
    block.docs[i] = static_cast<int32_t>(doc);
    block.frequencies[i] = frequency;
  }
  end_with(count, block);
  return bytes;
}

const uint8_t* decode_postings(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                               PostingBlock& block) {
#if defined(__x86_64__)
  static const bool has_instructions = __builtin_cpu_supports("avx2");
  if (has_instructions && count > 0) return decode_avx2(bytes, end, before, limit, count, block);
#endif
  return decode_postings_portable(bytes, end, before, limit, count, block);
}

}  // namespace wenqu::retrieval
