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

}  // namespace

const uint8_t* decode_postings(const uint8_t* bytes, const uint8_t* end, int32_t before, int32_t limit, size_t count,
                               PostingBlock& block) {
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
