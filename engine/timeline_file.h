// A timeline on disk: what it is bound to, its tokens, the logits after the last one, and its KV cache.
//
//   "WQTL", version, fingerprint of the model, shape of the cache, counts      (a fixed header)
//   token ids, logits
//   for each segment, layer and head: the keys, then the values of its tokens  (as the cache keeps them)
//   SHA-256 of all that stands before
//
// All little-endian. Files are untrusted: every number is checked before it is used.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/cache/kv_cache.h"
#include "engine/model/fingerprint.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

struct TimelineOrigin {
  Fingerprint fingerprint;
  bool deterministic = false;
};

// Errors: those of base/output_file.
Status write_timeline(const std::string& path, const TimelineOrigin& origin, KvCache& cache,
                      const std::vector<TokenId>& tokens, const std::vector<float>& logits);

// `shape`: the model's, of any type; `origin`: the fingerprint wanted, and what the file says otherwise.
// Errors: those of Timeline::restore. What is given back is undefined after an error.
Status read_timeline(const std::string& path, const KvShape& shape, uint64_t vocabulary, uint64_t max_tokens,
                     TimelineOrigin& origin, KvCache& cache, std::vector<TokenId>& tokens, std::vector<float>& logits);

}  // namespace wenqu::engine
