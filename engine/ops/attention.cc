#include "engine/ops/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace wenqu::engine::ops {

void attend(const cpu::Kernels& kernels, const AttendArgs& args) {
  float scores[KvCache::kSegmentTokens];
  float maximum = -std::numeric_limits<float>::infinity();
  float sum = 0;
  std::fill_n(args.out, args.value_length, 0.0f);
  const size_t stride = args.cache->stride();
  for (size_t begin = 0; begin < args.keys; begin += KvCache::kSegmentTokens) {
    const size_t count = std::min(KvCache::kSegmentTokens, args.keys - begin);
    const float* keys = args.cache->key(args.layer, begin);
    const float* values = args.values_are_keys ? keys : args.cache->value(args.layer, begin) + args.value_offset;
    float top = maximum;
    for (size_t i = 0; i < count; ++i) {
      scores[i] = args.scale * kernels.dot(args.query, keys + i * stride + args.key_offset, args.key_length);
      top = std::max(top, scores[i]);
    }
    // What was added up under a smaller maximum is brought down to the new one.
    if (top > maximum && sum > 0) {
      const float factor = std::exp(maximum - top);
      sum *= factor;
      for (size_t i = 0; i < args.value_length; ++i) args.out[i] *= factor;
    }
    maximum = top;
    sum += kernels.exp_sum(scores, count, maximum);
    // With all keys in one segment the weights can be normalised before they are used.
    const float normalise = args.keys <= KvCache::kSegmentTokens ? 1 / sum : 1;
    for (size_t i = 0; i < count; ++i)
      kernels.add_scaled(scores[i] * normalise, values + i * stride, args.out, args.value_length);
  }
  if (args.keys <= KvCache::kSegmentTokens) return;
  const float inverse = 1 / sum;
  for (size_t i = 0; i < args.value_length; ++i) args.out[i] *= inverse;
}

}  // namespace wenqu::engine::ops
