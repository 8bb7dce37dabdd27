#include "engine/timeline_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "base/mapped_file.h"
#include "base/output_file.h"
#include "base/sha256.h"

namespace wenqu::engine {
namespace {

constexpr uint32_t kMagic = 0x4C545157;   // "WQTL"
constexpr uint32_t kVersion = 1;

struct Header {
  uint32_t magic = kMagic;
  uint32_t version = kVersion;
  uint8_t fingerprint[32] = {};
  uint32_t kv_type = 0;
  uint32_t deterministic = 0;
  uint64_t layers = 0, heads = 0, key = 0, value = 0;
  uint64_t tokens = 0;
  uint64_t logits = 0;   // the vocabulary, or 0
};
static_assert(sizeof(Header) == 96, "no padding: the header is written as it lies in memory");

// The runs of cache bytes that a file holds, in its order. visit(span) reads them, or with `restore` writes them.
template <typename Visit>
Status each_run(KvCache& cache, bool restore, const Visit& visit) {
  const KvShape& shape = cache.shape();
  std::vector<std::byte> copy;   // of a segment on a device
  for (size_t begin = 0; begin < cache.size(); begin += KvCache::kSegmentTokens) {
    const size_t segment = begin / KvCache::kSegmentTokens, tokens = std::min(KvCache::kSegmentTokens, cache.size() - begin);
    WENQU_ASSIGN_OR_RETURN(std::byte* const bytes, restore ? Result<std::byte*>(cache.for_host(segment, copy)) : cache.on_host(segment, copy));
    for (size_t layer = 0; layer < shape.layers; ++layer)
      for (size_t head = 0; head < shape.heads; ++head) {
        WENQU_RETURN_IF_ERROR(visit(cache.key_rows(bytes, layer, head, tokens)));
        WENQU_RETURN_IF_ERROR(visit(cache.value_rows(bytes, layer, head, tokens)));
      }
    if (restore) WENQU_RETURN_IF_ERROR(cache.put_back(segment, bytes));
  }
  return {};
}

}  // namespace

Status write_timeline(const std::string& path, const TimelineOrigin& origin, KvCache& cache, const std::vector<TokenId>& tokens,
                      const std::vector<float>& logits) {
  const KvShape& shape = cache.shape();
  Header header;
  std::copy(origin.fingerprint.begin(), origin.fingerprint.end(), header.fingerprint);
  header.kv_type = static_cast<uint32_t>(shape.type);
  header.deterministic = origin.deterministic;
  header.layers = shape.layers, header.heads = shape.heads, header.key = shape.key, header.value = shape.value;
  header.tokens = tokens.size();
  header.logits = logits.size();
  WENQU_ASSIGN_OR_RETURN(OutputFile file, OutputFile::create(path));
  Sha256 hash;
  const auto put = [&](std::span<const std::byte> bytes) {
    hash.add(bytes);
    return file.write(bytes);
  };
  WENQU_RETURN_IF_ERROR(put(std::as_bytes(std::span(&header, 1))));
  WENQU_RETURN_IF_ERROR(put(std::as_bytes(std::span(tokens))));
  WENQU_RETURN_IF_ERROR(put(std::as_bytes(std::span(logits))));
  WENQU_RETURN_IF_ERROR(each_run(cache, false, put));
  const Sha256::Digest digest = hash.finish();
  WENQU_RETURN_IF_ERROR(file.write(std::as_bytes(std::span(digest))));
  return file.finish();
}

Status read_timeline(const std::string& path, const KvShape& shape, uint64_t vocabulary, uint64_t max_tokens, TimelineOrigin& origin,
                     KvCache& cache, std::vector<TokenId>& tokens, std::vector<float>& logits) {
  WENQU_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::open(path));
  const auto fail = [&](StatusCode code, std::string what) { return Status(code, std::move(what), path); };
  const std::span<const std::byte> bytes = file.data();
  Header header;
  if (bytes.size() < sizeof(header) + Sha256::kBytes) return fail(StatusCode::corrupt, "is too short for a saved session");
  std::memcpy(&header, bytes.data(), sizeof(header));
  if (header.magic != kMagic) return fail(StatusCode::corrupt, "is no saved session");
  if (header.version != kVersion)
    return fail(StatusCode::version_mismatch, fmt::format("has the version {}, this program reads {}", header.version, kVersion));
  if (!std::equal(origin.fingerprint.begin(), origin.fingerprint.end(), header.fingerprint))
    return fail(StatusCode::version_mismatch, "was saved with another model: read the conversation anew with this one");
  if (header.kv_type > static_cast<uint32_t>(KvType::fp8) || header.deterministic > 1)
    return fail(StatusCode::corrupt, "has a header that makes no sense");
  KvShape own = shape;
  own.type = static_cast<KvType>(header.kv_type);
  if (header.layers != own.layers || header.heads != own.heads || header.key != own.key || header.value != own.value)
    return fail(StatusCode::corrupt, "has a cache of another shape than the model's");
  if (header.tokens > max_tokens)
    return fail(StatusCode::limit_exceeded, fmt::format("holds {} tokens, more than the context of {}", header.tokens, max_tokens));
  if (header.logits != 0 && header.logits != vocabulary) return fail(StatusCode::corrupt, "has logits of another vocabulary");
  // No overflow: the tokens are limited by the context, and a token's bytes by the model that was loaded.
  const uint64_t wanted = sizeof(header) + header.tokens * (sizeof(TokenId) + own.bytes_per_token()) + header.logits * sizeof(float) + Sha256::kBytes;
  if (bytes.size() != wanted) return fail(StatusCode::corrupt, fmt::format("has {} bytes where {} are wanted: it was cut short or damaged", bytes.size(), wanted));
  Sha256 hash;
  hash.add(bytes.first(bytes.size() - Sha256::kBytes));
  const Sha256::Digest digest = hash.finish();
  if (std::memcmp(digest.data(), bytes.data() + bytes.size() - Sha256::kBytes, Sha256::kBytes) != 0)
    return fail(StatusCode::corrupt, "is damaged: its checksum does not fit its content");
  try {
    tokens.resize(header.tokens);
    logits.resize(header.logits);
  } catch (const std::bad_alloc&) {
    return fail(StatusCode::out_of_memory, "not enough memory for the session's tokens");
  }
  size_t at = sizeof(header);
  const auto take = [&](std::span<std::byte> out) -> Status {
    if (!out.empty()) std::memcpy(out.data(), bytes.data() + at, out.size());
    at += out.size();
    return {};
  };
  WENQU_RETURN_IF_ERROR(take(std::as_writable_bytes(std::span(tokens))));
  WENQU_RETURN_IF_ERROR(take(std::as_writable_bytes(std::span(logits))));
  for (const TokenId token : tokens)
    if (token < 0 || static_cast<uint64_t>(token) >= vocabulary) return fail(StatusCode::corrupt, "holds a token that is none");
  cache = KvCache(own, cache.account());
  if (const Status status = cache.resize(tokens.size()); !status) return status.at(path);
  WENQU_RETURN_IF_ERROR(each_run(cache, true, take));
  origin.deterministic = header.deterministic == 1;
  return {};
}

}  // namespace wenqu::engine
