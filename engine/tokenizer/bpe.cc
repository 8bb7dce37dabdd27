#include "engine/tokenizer/bpe.h"

#include <fmt/format.h>

#include <queue>

#include "base/utf8.h"

namespace wenqu::engine {

Result<Bpe> Bpe::create(const Vocabulary& vocabulary, const std::vector<std::string_view>& merges) {
  Bpe bpe;
  bpe.tokens_ = vocabulary.size();
  std::unordered_map<std::string, Symbol> extra;   // symbols that merges speak of but no token is
  const auto symbol_of = [&](std::string_view text) -> Symbol {
    // Whatever the merges say, text does not become a mark.
    if (const auto id = vocabulary.find(text); id && !vocabulary.is_mark(*id)) return static_cast<Symbol>(*id);
    return extra.emplace(std::string(text), static_cast<Symbol>(bpe.tokens_ + extra.size())).first->second;
  };
  for (uint32_t byte = 0; byte < 256; ++byte) {
    std::string character;
    utf8_append(character, byte_character(static_cast<uint8_t>(byte)));
    bpe.byte_symbols_[byte] = symbol_of(character);
  }
  bpe.merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const std::string_view merge = merges[rank];
    const size_t space = merge.find(' ', 1);
    if (space == merge.npos || space + 1 == merge.size())
      return Status(StatusCode::corrupt, fmt::format("merge {} is not two symbols divided by a space", rank),
                    "metadata key 'tokenizer.ggml.merges'");
    const std::string_view left = merge.substr(0, space), right = merge.substr(space + 1);
    const Symbol result = symbol_of(std::string(left) + std::string(right));
    bpe.merges_.emplace(pair_key(symbol_of(left), symbol_of(right)), Merge{static_cast<uint32_t>(rank), result});
  }
  return bpe;
}

void Bpe::emit(Symbol symbol, std::string_view bytes, std::vector<TokenId>& out) const {
  if (symbol < tokens_) {
    out.push_back(static_cast<TokenId>(symbol));
    return;
  }
  for (const char byte : bytes) {
    const Symbol single = byte_symbols_[static_cast<unsigned char>(byte)];
    if (single < tokens_) out.push_back(static_cast<TokenId>(single));
  }
}

void Bpe::encode(std::string_view word, std::vector<TokenId>& out) const {
  struct Node {
    Symbol symbol;
    uint32_t begin, length;   // bytes of the word
    uint32_t previous, next;  // kNone at the ends
  };
  struct Candidate {
    uint32_t rank;
    uint32_t left;            // node
    Symbol left_symbol, right_symbol, result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : left > other.left;
    }
  };
  if (word.empty()) return;
  if (word.size() == 1) return emit(byte_symbols_[static_cast<unsigned char>(word[0])], word, out);

  std::vector<Node> nodes(word.size());
  for (uint32_t i = 0; i < nodes.size(); ++i)
    nodes[i] = {byte_symbols_[static_cast<unsigned char>(word[i])], i, 1, i == 0 ? kNone : i - 1,
                i + 1 == nodes.size() ? kNone : i + 1};
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](uint32_t left) {
    if (left == kNone || nodes[left].next == kNone) return;
    const Symbol a = nodes[left].symbol, b = nodes[nodes[left].next].symbol;
    const auto merge = merges_.find(pair_key(a, b));
    if (merge != merges_.end()) queue.push({merge->second.rank, left, a, b, merge->second.result});
  };
  for (uint32_t i = 0; i + 1 < nodes.size(); ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Node& left = nodes[best.left];
    // What the candidate saw may have been merged into something else meanwhile.
    if (left.length == 0 || left.symbol != best.left_symbol || left.next == kNone) continue;
    Node& right = nodes[left.next];
    if (right.symbol != best.right_symbol) continue;
    left.symbol = best.result;
    left.length += right.length;
    right.length = 0;
    left.next = right.next;
    if (left.next != kNone) nodes[left.next].previous = best.left;
    offer(left.previous);
    offer(best.left);
  }
  for (uint32_t i = 0; i != kNone; i = nodes[i].next)
    emit(nodes[i].symbol, word.substr(nodes[i].begin, nodes[i].length), out);
}

}  // namespace wenqu::engine
