#include "engine/cache/kv_cache.h"

#include <fmt/format.h>

#include <new>

namespace wenqu::engine {

Status KvCache::resize(size_t size) {
  const size_t wanted = (size + kSegmentTokens - 1) / kSegmentTokens;
  const size_t before = segments_.size();
  try {
    segments_.reserve(wanted);
    while (segments_.size() < wanted)
      segments_.push_back({std::unique_ptr<float[]>(new float[shape_.layers * kSegmentTokens * stride()])});
  } catch (const std::bad_alloc&) {
    segments_.resize(before);
    return Status(StatusCode::out_of_memory,
                  fmt::format("the KV cache of {} tokens needs {} MiB: use a smaller context", size,
                              shape_.bytes_per_token() * size >> 20));
  }
  segments_.resize(wanted);
  size_ = size;
  return {};
}

}  // namespace wenqu::engine
