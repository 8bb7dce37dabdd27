// What a timeline remembers of the tokens it has read: for each layer, head and token a key and a value,
// in segments of a fixed number of tokens.
//
// Keys are kept rotated for the position they stand at. A segment that is to stand elsewhere is turned
// by the difference of positions (rotations add up), which touches the rotary part only: 64 of the 576
// numbers that MLA keeps for a token. MLA has one head and keeps no values: its keys' latent part serves
// as both.
//
// Segments are shared between caches that were forked from each other and are never written while they
// are: a cache copies the last one before it adds to it.
//
// A segment's bytes are charged to an account, if there is one, as long as any cache has it. They lie where the account
// says: what is on a device is read and written by the device, and by the host in copies; the host reads and writes the
// rows of the layers that the CPU computes.
//
// Thread safety: one thread at a time; rows of one cache may be read and written by several threads
// when they are different rows. Forks are independent of each other.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "engine/cache/kv_type.h"
#include "engine/cache/memory_account.h"

namespace wenqu::engine {

struct KvShape {
  size_t layers = 0;
  size_t heads = 0;   // of keys and values
  size_t key = 0;     // numbers of a head's key
  size_t value = 0;   // of its value; may be 0
  KvType type = KvType::f32;

  size_t key_bytes() const { return row_bytes(key); }
  size_t value_bytes() const { return row_bytes(value); }
  size_t bytes_per_token() const { return layers * heads * (key_bytes() + value_bytes()); }
  bool operator==(const KvShape&) const = default;

 private:
  size_t row_bytes(size_t numbers) const;
};

class KvCache {
 public:
  static constexpr size_t kSegmentTokens = 256;

  explicit KvCache(const KvShape& shape, std::shared_ptr<MemoryAccount> account = nullptr)
      : shape_(shape), account_(std::move(account)) {}

  const KvShape& shape() const { return shape_; }
  const std::shared_ptr<MemoryAccount>& account() const { return account_; }
  size_t size() const { return size_; }
  // Bytes of the segments, those shared with forks among them.
  size_t bytes() const { return segments_.size() * segment_bytes(); }
  // Makes room for `size` tokens. On out_of_memory (of the machine, or of the account) nothing has changed; shrinking
  // does not fail.
  Status resize(size_t size);
  // A segment's bytes for the host: Segment::host().
  std::byte* segment(size_t segment) const { return segments_[segment].data->host(); }
  Segment& data(size_t segment) const { return *segments_[segment].data; }
  // A segment, which nobody writes from now on.
  std::shared_ptr<Segment> share(size_t segment);
  // A cache of `size` tokens that others have shared; what it adds is charged to `account`.
  static KvCache adopt(const KvShape& shape, std::span<const std::shared_ptr<Segment>> segments, size_t size,
                       std::shared_ptr<MemoryAccount> account = nullptr);
  uint64_t segment_bytes() const { return shape_.layers * shape_.heads * head_bytes(); }
  // A cache of the same content. The two share it until one of them adds to the last segment.
  Result<KvCache> fork();

  // Writes a token's key and value. REQUIRES: the room was made since the last fork.
  void put(size_t layer, size_t head, size_t token, const float* key, const float* value);

  // The rows of a segment's tokens, key_bytes() or value_bytes() apart.
  const std::byte* keys(size_t layer, size_t head, size_t segment) const { return rows(layer, head, segment); }
  const std::byte* values(size_t layer, size_t head, size_t segment) const {
    return rows(layer, head, segment) + kSegmentTokens * shape_.key_bytes();
  }

  // A segment for the host, whole, where sessions are saved: where it lies, or its copy in `copy`.
  Result<std::byte*> on_host(size_t segment, std::vector<std::byte>& copy) const;
  // And where they are restored: where it lies, or zeros in `copy`, for the host to write, who puts them back then.
  std::byte* for_host(size_t segment, std::vector<std::byte>& copy);
  Status put_back(size_t segment, const std::byte* bytes);
  // In a segment's bytes, the first `tokens` keys of a head, and its values.
  std::span<std::byte> key_rows(std::byte* segment, size_t layer, size_t head, size_t tokens) const {
    return {segment + (layer * shape_.heads + head) * head_bytes(), tokens * shape_.key_bytes()};
  }
  std::span<std::byte> value_rows(std::byte* segment, size_t layer, size_t head, size_t tokens) const {
    return {segment + (layer * shape_.heads + head) * head_bytes() + kSegmentTokens * shape_.key_bytes(), tokens * shape_.value_bytes()};
  }

 private:
  struct Held {
    std::shared_ptr<Segment> data;   // [layers][heads][kSegmentTokens] keys, then values
    bool own = true;                 // no fork has it too
  };
  // nullptr when the account refuses. Throws std::bad_alloc.
  Result<std::shared_ptr<Segment>> new_segment() const;
  // False when the account refuses.
  Result<bool> add_segments(size_t wanted);
  Result<bool> own_tail(size_t segment);
  size_t head_bytes() const { return kSegmentTokens * (shape_.key_bytes() + shape_.value_bytes()); }
  std::byte* rows(size_t layer, size_t head, size_t segment) const {
    return segments_[segment].data->host() + (layer * shape_.heads + head) * head_bytes();
  }

  KvShape shape_;
  std::shared_ptr<MemoryAccount> account_;
  std::vector<Held> segments_;
  size_t size_ = 0;
};

// One row of `n` numbers as `type` keeps them, and back. Q8_0 keeps whole blocks of 32: the last one is
// filled up with zeros, which load_row() does not give back. FP8: blocks of 128, the last one as long as it is, each a
// scale as a float and then its numbers; a row ends at a multiple of four bytes.
void store_row(KvType type, const float* values, size_t n, std::byte* row);
void load_row(KvType type, const std::byte* row, size_t n, float* values);

}  // namespace wenqu::engine
