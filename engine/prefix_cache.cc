#include "engine/prefix_cache.h"

#include <algorithm>
#include <new>

namespace wenqu::engine {
namespace {

constexpr size_t kSegment = KvCache::kSegmentTokens;

size_t common(std::span<const TokenId> a, std::span<const TokenId> b) {
  return static_cast<size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

KvCache PrefixCache::find(const PrefixKind& kind, const KvShape& shape, std::span<const TokenId> tokens,
                          const std::shared_ptr<MemoryAccount>& account) {
  const std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Segment>> segments;
  size_t size = 0;
  const auto root = roots_.find(kind);
  for (Node* node = root == roots_.end() ? nullptr : &root->second; node && size < tokens.size();) {
    const std::span<const TokenId> rest = tokens.subspan(size);
    Node* best = nullptr;
    size_t longest = 0;
    for (const std::unique_ptr<Node>& child : node->children)
      if (const size_t length = common(child->tokens, rest); length > longest) best = child.get(), longest = length;
    if (!best) break;
    best->used = ++clock_;
    segments.push_back(best->segment);
    size += longest;
    node = longest == kSegment ? best : nullptr;
  }
  return KvCache::adopt(shape, segments, size, account);
}

void PrefixCache::insert(const PrefixKind& kind, KvCache& cache, std::span<const TokenId> tokens) noexcept try {
  const std::lock_guard lock(mutex_);
  if (budget_ == 0) return;
  Node* node = &roots_[kind];
  for (size_t begin = 0; begin < tokens.size(); begin += kSegment) {
    const std::span<const TokenId> mine = tokens.subspan(begin, std::min(kSegment, tokens.size() - begin));
    Node* next = nullptr;
    for (const std::unique_ptr<Node>& child : node->children) {
      const size_t length = common(child->tokens, mine);
      if (length < std::min(child->tokens.size(), mine.size())) continue;
      // One is the beginning of the other: the longer one stays.
      if (mine.size() > child->tokens.size()) {
        child->tokens.assign(mine.begin(), mine.end());
        child->segment = cache.share(begin / kSegment);
      }
      next = child.get();
      break;
    }
    if (!next) {
      auto child = std::make_unique<Node>();
      child->tokens.assign(mine.begin(), mine.end());
      child->segment = cache.share(begin / kSegment);
      child->bytes = cache.segment_bytes();
      next = child.get();
      node->children.push_back(std::move(child));
      bytes_ += cache.segment_bytes();
    }
    next->used = ++clock_;
    node = next;
  }
  make_room();
} catch (const std::bad_alloc&) {
  // What was put in so far is whole; the rest is read again when it is needed.
}

bool PrefixCache::give_up_one(bool only_ours) {
  std::vector<std::unique_ptr<Node>>* siblings = nullptr;
  size_t place = 0;
  uint64_t oldest = UINT64_MAX;
  std::vector<Node*> open;
  for (auto& [kind, root] : roots_) open.push_back(&root);
  while (!open.empty()) {
    Node* node = open.back();
    open.pop_back();
    for (size_t i = 0; i < node->children.size(); ++i) {
      Node* child = node->children[i].get();
      if (!child->children.empty()) open.push_back(child);
      else if (child->used < oldest && !(only_ours && child->segment.use_count() > 1)) oldest = child->used, siblings = &node->children, place = i;
    }
  }
  if (!siblings) return false;
  bytes_ -= (*siblings)[place]->bytes;
  siblings->erase(siblings->begin() + static_cast<std::ptrdiff_t>(place));
  return true;
}

void PrefixCache::make_room() {
  while (bytes_ > budget_ && give_up_one(false)) {
  }
}

void PrefixCache::set_budget(uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  budget_ = bytes;
}

bool PrefixCache::give_way() noexcept try {
  const std::lock_guard lock(mutex_);
  return give_up_one(true) || give_up_one(false);
} catch (const std::bad_alloc&) {
  return false;
}

uint64_t PrefixCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace wenqu::engine
