#include "retrieval/index/deletions.h"

#include <bit>

#include "retrieval/store/byte_sink.h"

namespace wenqu::retrieval {

std::string Deletions::encode() const {
  ByteSink gaps;
  gaps.put_int32(UINT32_MAX);
  gaps.put_int32(size_);
  gaps.put_int32(count_);
  for (size_t i = 0, last = 0; i < bytes_.size() && gaps.bytes().size() < bytes_.size() + 8; ++i)
    if (bytes_[i] != 0) {
      gaps.put_number(i - last);
      gaps.put(bytes_[i]);
      last = i;
    }
  if (gaps.bytes().size() < bytes_.size() + 8) return gaps.bytes();
  ByteSink all;
  all.put_int32(size_);
  all.put_int32(count_);
  for (const uint8_t byte : bytes_) all.put(byte);
  return all.bytes();
}

Result<Deletions> Deletions::decode(ByteSource file, uint32_t documents) {
  const Status wrong(StatusCode::corrupt, "the deletions do not fit their segment");
  Deletions deletions(documents);
  const bool gaps = file.int32() == UINT32_MAX;
  if (gaps) {
    if (file.int32() != documents) return file.failed() ? file.status() : wrong;
  } else {
    file.seek(0);
    if (file.int32() != documents) return file.failed() ? file.status() : wrong;
  }
  const uint32_t count = file.int32();
  for (uint64_t place = 0, next = 0; file.left() > 0 && !file.failed(); next = place + 1) {
    place = gaps ? place + file.number() : next;
    const uint8_t byte = file.get();
    if (file.failed()) break;
    if (place >= deletions.bytes_.size()) return wrong;
    deletions.bytes_[static_cast<size_t>(place)] = byte;
    deletions.count_ += static_cast<uint32_t>(std::popcount(byte));
  }
  if (file.failed()) return file.status();
  // Bits of documents that do not exist would be counted too.
  for (uint32_t bit = documents; bit < deletions.bytes_.size() * 8; ++bit)
    if (deletions.contains(bit)) return wrong;
  if (deletions.count_ != count) return wrong;
  return deletions;
}

}  // namespace wenqu::retrieval
