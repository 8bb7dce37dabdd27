#include "engine/tokenizer/spm.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <queue>

#include "base/utf8.h"

namespace wenqu::engine {
namespace {

constexpr std::string_view kSpace = "\u2581";

// The byte of "<0xXX>", or -1.
int byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

}  // namespace

Result<Spm> Spm::create(const Vocabulary& vocabulary, std::vector<float> scores) {
  if (scores.size() != vocabulary.size())
    return Status(StatusCode::corrupt, fmt::format("is not a list of {} numbers", vocabulary.size()), "metadata key 'tokenizer.ggml.scores'");
  if (std::any_of(scores.begin(), scores.end(), [](float score) { return std::isnan(score); }))
    return Status(StatusCode::corrupt, "has a score that is no number", "metadata key 'tokenizer.ggml.scores'");
  Spm spm;
  spm.scores_ = std::move(scores);
  spm.bytes_.fill(-1);
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const TokenId id = static_cast<TokenId>(i);
    switch (vocabulary.kind(id)) {
      case Vocabulary::Kind::byte:
        if (const int byte = byte_of(vocabulary.text(id)); byte >= 0) spm.bytes_[static_cast<size_t>(byte)] = id;
        break;
      case Vocabulary::Kind::unknown: spm.unknown_ = id; break;
      default:
        // No text becomes a mark, however it is spelled.
        if (!vocabulary.is_mark(id)) spm.ids_.emplace(vocabulary.text(id), id);
    }
  }
  return spm;
}

void Spm::encode(std::string_view text, std::vector<TokenId>& out) const {
  struct Node {
    uint32_t begin, length;   // of the escaped text; 0: joined to the one before
    uint32_t previous, next;  // kNone at the ends
  };
  struct Candidate {
    float score;
    uint32_t left, length;    // node, and bytes of the pair
    bool operator<(const Candidate& other) const { return score != other.score ? score < other.score : left > other.left; }
  };
  constexpr uint32_t kNone = UINT32_MAX;
  std::string escaped;
  for (const char c : text) {
    if (c == ' ') escaped += kSpace;
    else escaped += c;
  }
  std::vector<Node> nodes;
  for (size_t pos = 0; pos < escaped.size();) {
    const size_t begin = pos;
    utf8_next(escaped, pos);
    const uint32_t i = static_cast<uint32_t>(nodes.size());
    nodes.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(pos - begin), i == 0 ? kNone : i - 1, i + 1});
  }
  if (nodes.empty()) return;
  nodes.back().next = kNone;

  std::string key;
  std::priority_queue<Candidate> queue;
  const auto offer = [&](uint32_t left) {
    if (left == kNone || nodes[left].next == kNone) return;
    const uint32_t length = nodes[left].length + nodes[nodes[left].next].length;
    key.assign(escaped, nodes[left].begin, length);
    if (const auto id = ids_.find(key); id != ids_.end()) queue.push({scores_[static_cast<size_t>(id->second)], left, length});
  };
  for (uint32_t i = 0; i + 1 < nodes.size(); ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Node& left = nodes[best.left];
    // What the candidate saw may have been joined into something else meanwhile.
    if (left.length == 0 || left.next == kNone || left.length + nodes[left.next].length != best.length) continue;
    Node& right = nodes[left.next];
    left.length = best.length;
    right.length = 0;
    left.next = right.next;
    if (left.next != kNone) nodes[left.next].previous = best.left;
    offer(left.previous);
    offer(best.left);
  }
  for (uint32_t i = 0; i != kNone; i = nodes[i].next) {
    key.assign(escaped, nodes[i].begin, nodes[i].length);
    if (const auto id = ids_.find(key); id != ids_.end()) {
      out.push_back(id->second);
      continue;
    }
    for (const char c : key) {
      const TokenId byte = bytes_[static_cast<unsigned char>(c)];
      if (byte >= 0) out.push_back(byte);
      else if (unknown_ >= 0) out.push_back(unknown_);
    }
  }
}

std::string Spm::decode(std::string_view text, Vocabulary::Kind kind) {
  if (kind == Vocabulary::Kind::byte)
    if (const int byte = byte_of(text); byte >= 0) return std::string(1, static_cast<char>(byte));
  std::string bytes;
  for (size_t pos = 0; pos < text.size();) {
    if (text.substr(pos).starts_with(kSpace)) {
      bytes += ' ';
      pos += kSpace.size();
    } else {
      bytes += text[pos++];
    }
  }
  return bytes;
}

}  // namespace wenqu::engine
