#include "retrieval/index/posting_list.h"

#include <algorithm>
#include <limits>

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

// The longest posting: two numbers of five bytes.
constexpr ptrdiff_t kMostBytes = 10;

// As decode_postings(), where as many bytes can be read as the longest postings have. Whether a number has one byte or two
// cannot be guessed, so nothing branches on it; nor on what is checked, which is told at the end.
const uint8_t* decode_roomy(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count, PostingBlock& block) {
  int64_t doc = before < 0 ? 0 : before;
  bool bad = false;
  for (size_t i = 0; i < count; ++i) {
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
    bad |= (distance == 0 && (i > 0 || before >= 0)) || frequency == 0;
    block.docs[i] = static_cast<int32_t>(doc);
    block.frequencies[i] = frequency;
  }
  return bad || doc >= limit ? nullptr : bytes;
}

}  // namespace

const uint8_t* decode_postings(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                               PostingBlock& block) {
  if (count == PostingList::kBlock && end - bytes >= kMostBytes * static_cast<ptrdiff_t>(count)) {
    block.size = count;
    return decode_roomy(bytes, end, before, limit, count, block);
  }
  int64_t doc = before < 0 ? 0 : before;  // the first distance is the passage itself
  for (size_t i = 0; i < count; ++i) {
    if (bytes == end) return nullptr;
    uint32_t code = *bytes++;
    if (code >= 0x80) {
      bytes = read_more(bytes, end, code);
      if (!bytes) return nullptr;
    }
    const uint32_t distance = code >> 1;
    uint32_t frequency = 1;
    if ((code & 1) == 0) {
      if (bytes == end) return nullptr;
      frequency = *bytes++;
      if (frequency >= 0x80) {
        bytes = read_more(bytes, end, frequency);
        if (!bytes) return nullptr;
      }
    }
    doc += distance;
    // Only passage 0 has no distance.
    const bool is_first = i == 0 && before < 0;
    if (doc >= limit || (distance == 0 && !is_first) || frequency == 0) return nullptr;
    block.docs[i] = static_cast<int32_t>(doc);
    block.frequencies[i] = frequency;
  }
  std::fill(block.docs.begin() + static_cast<ptrdiff_t>(count), block.docs.end(), std::numeric_limits<int32_t>::max());
  block.size = count;
  return bytes;
}

}  // namespace wenqu::retrieval
