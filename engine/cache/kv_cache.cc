#include "engine/cache/kv_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <new>

#include "engine/cpu/blocks.h"
#include "engine/cpu/fp8.h"

namespace wenqu::engine {
namespace {

using cpu::BlockQ8_0;

constexpr size_t kBlock = 32;
constexpr float kLargestHalf = 65504;
constexpr size_t kFp8Block = 128;

uint16_t saturated_half(float value) {
  // Written so that NaN stays NaN.
  if (value > kLargestHalf) value = kLargestHalf;
  if (value < -kLargestHalf) value = -kLargestHalf;
  return cpu::float_to_half(value);
}

void store_block(const float* values, size_t n, BlockQ8_0& block) {
  float largest = 0;
  for (size_t i = 0; i < n; ++i) {
    if (std::isnan(values[i])) largest = values[i];
    if (!(std::fabs(values[i]) <= largest) && !std::isnan(largest)) largest = std::fabs(values[i]);
  }
  block.d = saturated_half(largest / 127);
  const float scale = cpu::half_to_float(block.d);
  std::memset(block.q, 0, sizeof(block.q));
  if (!(scale > 0)) return;   // all zeros, or NaN by the scale
  for (size_t i = 0; i < n; ++i) block.q[i] = static_cast<int8_t>(std::clamp(std::nearbyint(values[i] / scale), -127.0f, 127.0f));
}

// In the process's own memory. The charge is given back when the last cache that has the segment lets it go.
class HostSegment final : public Segment {
 public:
  HostSegment(size_t bytes, MemoryCharge charge) : Segment(bytes), charge_(std::move(charge)) {}

 private:
  const MemoryCharge charge_;
};

uint16_t nearest_bfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if (std::isnan(value)) return 0x7FC0;   // whatever its bits, which devices do not keep
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

// A scale, then the numbers.
void store_fp8(const float* values, size_t n, std::byte* block) {
  constexpr float kMost = 3e38f;   // so that the largest number times the scale is finite
  float largest = 0;
  bool wrong = false;
  for (size_t i = 0; i < n; ++i) {
    wrong |= std::isnan(values[i]);
    largest = std::max(largest, std::fabs(values[i]));
  }
  const float scale = wrong ? std::bit_cast<float>(0x7FC00000u) : std::min(largest, kMost) / cpu::kLargestE4m3;
  std::memcpy(block, &scale, sizeof(scale));
  for (size_t i = 0; i < n; ++i) block[sizeof(scale) + i] = static_cast<std::byte>(scale > 0 ? cpu::float_to_e4m3(values[i] / scale) : 0);
}

void load_fp8(const std::byte* block, size_t n, float* values) {
  float scale;
  std::memcpy(&scale, block, sizeof(scale));
  for (size_t i = 0; i < n; ++i) values[i] = scale * cpu::e4m3_to_float(static_cast<uint8_t>(block[sizeof(scale) + i]));
}

}  // namespace

std::string_view kv_type_name(KvType type) {
  switch (type) {
    case KvType::f32: return "f32";
    case KvType::f16: return "f16";
    case KvType::q8_0: return "q8_0";
    case KvType::bf16: return "bf16";
    case KvType::fp8: return "fp8";
  }
  return "unknown";
}

std::optional<KvType> parse_kv_type(std::string_view name) {
  for (KvType type : kKvTypes)
    if (name == kv_type_name(type)) return type;
  return std::nullopt;
}

void store_row(KvType type, const float* values, size_t n, std::byte* row) {
  if (n == 0) return;   // then there may be no memory either
  switch (type) {
    case KvType::f32: std::memcpy(row, values, n * sizeof(float)); break;
    case KvType::f16:
      for (size_t i = 0; i < n; ++i) {
        const uint16_t half = saturated_half(values[i]);
        std::memcpy(row + i * sizeof(half), &half, sizeof(half));
      }
      break;
    case KvType::q8_0:
      for (size_t i = 0; i < n; i += kBlock, row += sizeof(BlockQ8_0)) {
        BlockQ8_0 block;
        store_block(values + i, std::min(kBlock, n - i), block);
        std::memcpy(row, &block, sizeof(block));
      }
      break;
    case KvType::bf16:
      for (size_t i = 0; i < n; ++i) {
        const uint16_t bfloat = nearest_bfloat(values[i]);
        std::memcpy(row + i * sizeof(bfloat), &bfloat, sizeof(bfloat));
      }
      break;
    case KvType::fp8:
      for (size_t i = 0; i < n; i += kFp8Block, row += sizeof(float) + kFp8Block) store_fp8(values + i, std::min(kFp8Block, n - i), row);
      break;
  }
}

void load_row(KvType type, const std::byte* row, size_t n, float* values) {
  if (n == 0) return;
  switch (type) {
    case KvType::f32: std::memcpy(values, row, n * sizeof(float)); break;
    case KvType::f16:
      for (size_t i = 0; i < n; ++i) {
        uint16_t half;
        std::memcpy(&half, row + i * sizeof(half), sizeof(half));
        values[i] = cpu::half_to_float(half);
      }
      break;
    case KvType::q8_0:
      for (size_t i = 0; i < n; i += kBlock, row += sizeof(BlockQ8_0)) {
        BlockQ8_0 block;
        std::memcpy(&block, row, sizeof(block));
        const float scale = cpu::half_to_float(block.d);
        for (size_t k = 0; k < std::min(kBlock, n - i); ++k) values[i + k] = scale * static_cast<float>(block.q[k]);
      }
      break;
    case KvType::bf16:
      for (size_t i = 0; i < n; ++i) {
        uint16_t bfloat;
        std::memcpy(&bfloat, row + i * sizeof(bfloat), sizeof(bfloat));
        values[i] = cpu::bfloat_to_float(bfloat);
      }
      break;
    case KvType::fp8:
      for (size_t i = 0; i < n; i += kFp8Block, row += sizeof(float) + kFp8Block) load_fp8(row, std::min(kFp8Block, n - i), values + i);
      break;
  }
}

size_t KvShape::row_bytes(size_t numbers) const {
  switch (type) {
    case KvType::f32: return numbers * sizeof(float);
    case KvType::f16: return numbers * sizeof(uint16_t);
    case KvType::q8_0: return (numbers + kBlock - 1) / kBlock * sizeof(BlockQ8_0);
    case KvType::bf16: return numbers * sizeof(uint16_t);
    case KvType::fp8: return (numbers + kFp8Block - 1) / kFp8Block * sizeof(float) + (numbers + 3) / 4 * 4;
  }
  return 0;
}

Result<std::shared_ptr<Segment>> KvCache::new_segment() const {
  if (SegmentMemory* const elsewhere = account_ ? account_->memory() : nullptr) return elsewhere->allocate(segment_bytes(), account_);
  std::shared_ptr<Segment> segment;
  if (MemoryCharge charge(account_, segment_bytes()); charge) segment = std::make_shared<HostSegment>(segment_bytes(), std::move(charge));
  return segment;
}

Result<bool> KvCache::add_segments(size_t wanted) {
  segments_.reserve(wanted);
  while (segments_.size() < wanted) {
    WENQU_ASSIGN_OR_RETURN(std::shared_ptr<Segment> segment, new_segment());
    if (!segment) return false;
    segments_.push_back({std::move(segment)});
  }
  return true;
}

Status KvCache::resize(size_t size) {
  const size_t wanted = (size + kSegmentTokens - 1) / kSegmentTokens;
  const size_t before = segments_.size();
  // What can never be had drives nothing out.
  Result<bool> granted = !account_ || wanted <= before || wanted * segment_bytes() <= account_->chargeable();
  bool enough = true;
  try {
    if (*granted) granted = add_segments(wanted);
    if (granted && *granted && size > size_ && size_ % kSegmentTokens != 0) granted = own_tail(size_ / kSegmentTokens);
  } catch (const std::bad_alloc&) {
    enough = false;
  }
  if (granted && *granted && enough) {
    segments_.resize(wanted);
    size_ = size;
    return {};
  }
  segments_.resize(before);
  if (!granted) return granted.status();
  constexpr double kMiB = 1 << 20;
  const double needed = static_cast<double>(shape_.bytes_per_token() * size) / kMiB;
  if (!enough || account_->limit() == MemoryAccount::kNoLimit)
    return Status(StatusCode::out_of_memory,
                  fmt::format("the KV cache of {} tokens needs {:.1f} MiB, which the system does not have: use a smaller context or "
                              "a smaller KV type", size, needed));
  return Status(StatusCode::out_of_memory,
                fmt::format("the KV cache of {} tokens needs {:.1f} MiB; of the memory budget, all sessions together may hold {:.1f} MiB and "
                            "hold {:.1f} MiB: end other sessions, use a smaller context or a smaller KV type, or raise the budget",
                            size, needed, static_cast<double>(account_->chargeable()) / kMiB, static_cast<double>(account_->used()) / kMiB));
}

// What is added to must not be seen by others.
Result<bool> KvCache::own_tail(size_t segment) {
  Held& tail = segments_[segment];
  const auto alone = [&] {
    if (tail.data.use_count() > 1) return false;
    // What others read of it they have read.
    std::atomic_thread_fence(std::memory_order_acquire);
    return tail.own = true;
  };
  if (tail.own || alone()) return true;
  WENQU_ASSIGN_OR_RETURN(std::shared_ptr<Segment> copy, new_segment());
  if (!copy) return alone();   // who gave way may have been the other one
  if (SegmentMemory* const elsewhere = account_ ? account_->memory() : nullptr) {
    WENQU_RETURN_IF_ERROR(elsewhere->copy(*copy, *tail.data));
  } else {
    std::memcpy(copy->host(), tail.data->host(), segment_bytes());
  }
  tail = {std::move(copy)};
  return true;
}

std::shared_ptr<Segment> KvCache::share(size_t segment) {
  segments_[segment].own = false;
  return segments_[segment].data;
}

KvCache KvCache::adopt(const KvShape& shape, std::span<const std::shared_ptr<Segment>> segments, size_t size,
                       std::shared_ptr<MemoryAccount> account) {
  KvCache cache(shape, std::move(account));
  for (const std::shared_ptr<Segment>& data : segments) cache.segments_.push_back({data, false});
  cache.size_ = size;
  return cache;
}

Result<KvCache> KvCache::fork() {
  try {
    KvCache other(shape_, account_);
    other.size_ = size_;
    other.segments_ = segments_;
    for (Held& segment : segments_) segment.own = false;
    for (Held& segment : other.segments_) segment.own = false;
    return other;
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::out_of_memory, "not enough memory to fork the KV cache");
  }
}

Result<std::byte*> KvCache::on_host(size_t segment, std::vector<std::byte>& copy) const {
  SegmentMemory* const elsewhere = account_ ? account_->memory() : nullptr;
  if (!elsewhere) return segments_[segment].data->host();
  copy.resize(segment_bytes());
  WENQU_RETURN_IF_ERROR(elsewhere->to_host(copy.data(), *segments_[segment].data));
  return copy.data();
}

std::byte* KvCache::for_host(size_t segment, std::vector<std::byte>& copy) {
  if (!account_ || !account_->memory()) return segments_[segment].data->host();
  copy.assign(segment_bytes(), std::byte{});
  return copy.data();
}

Status KvCache::put_back(size_t segment, const std::byte* bytes) {
  SegmentMemory* const elsewhere = account_ ? account_->memory() : nullptr;
  return elsewhere ? elsewhere->from_host(*segments_[segment].data, bytes) : Status();
}

void KvCache::put(size_t layer, size_t head, size_t token, const float* key, const float* value) {
  std::byte* const at = rows(layer, head, token / kSegmentTokens);
  const size_t place = token % kSegmentTokens;
  store_row(shape_.type, key, shape_.key, at + place * shape_.key_bytes());
  if (shape_.value > 0)
    store_row(shape_.type, value, shape_.value, at + kSegmentTokens * shape_.key_bytes() + place * shape_.value_bytes());
}

}  // namespace wenqu::engine
