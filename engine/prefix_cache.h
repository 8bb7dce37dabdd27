// Beginnings of token lines that some timeline has read, with their keys and values: a timeline that begins alike
// takes them over instead of reading them again. Instructions are shared by all questions so, and a
// conversation's next turn continues the last.
//
// A radix tree: each node holds the tokens of one cache segment, fewer at an end, and is matched token by
// token. Segments are shared with the timelines (engine/cache) and counted by reference; what was not used for
// the longest time goes first when the budget is spent, or when sessions need the memory.
//
// Thread safety: all members from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "engine/cache/kv_cache.h"
#include "engine/tokenizer/tokenizer.h"

namespace wenqu::engine {

// What must be the same for keys and values to be taken over, besides the tokens.
struct PrefixKind {
  KvType type = KvType::f16;
  bool deterministic = false;
  auto operator<=>(const PrefixKind&) const = default;
};

class PrefixCache {
 public:
  // Of segments, those that timelines use too among them. 0: nothing is kept.
  explicit PrefixCache(uint64_t budget_bytes) : budget_(budget_bytes) {}
  // Another budget, for what is inserted from now on.
  void set_budget(uint64_t bytes);

  // The longest beginning of `tokens` that is known, as a cache of that many tokens, maybe none. Throws std::bad_alloc.
  KvCache find(const PrefixKind& kind, const KvShape& shape, std::span<const TokenId> tokens,
               const std::shared_ptr<MemoryAccount>& account = nullptr);

  // Keeps what a timeline has read. Does nothing when memory is short.
  void insert(const PrefixKind& kind, KvCache& cache, std::span<const TokenId> tokens) noexcept;

  // Gives up the segment that was unused for the longest time, of those that no timeline has if there are such. False
  // when there is none left.
  bool give_way() noexcept;

  uint64_t bytes() const;

 private:
  struct Node {
    std::vector<TokenId> tokens;                  // of this segment
    std::shared_ptr<Segment> segment;
    uint64_t bytes = 0;
    uint64_t used = 0;                            // when, by the clock below
    std::vector<std::unique_ptr<Node>> children;  // behind a full segment
  };
  // Gives up a leaf, the longest unused; of those only we have, if so asked. Throws std::bad_alloc.
  bool give_up_one(bool only_ours);
  void make_room();

  uint64_t budget_;
  mutable std::mutex mutex_;
  std::map<PrefixKind, Node> roots_;   // without tokens
  uint64_t clock_ = 0, bytes_ = 0;
};

}  // namespace wenqu::engine
