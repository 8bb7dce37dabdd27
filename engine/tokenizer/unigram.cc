#include "engine/tokenizer/unigram.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/utf8.h"

namespace wenqu::engine {
namespace {

constexpr std::string_view kWrittenSpace = "\u2581";
constexpr double kUnknownPenalty = 10;   // below the least likely token, as SentencePiece has it

}  // namespace

Result<Unigram> Unigram::create(const Vocabulary& vocabulary, std::vector<float> scores, UnigramOptions options) {
  const auto bad = [](std::string what) { return Status(StatusCode::corrupt, std::move(what), "metadata key 'tokenizer.ggml.scores'"); };
  if (scores.size() != vocabulary.size()) return bad(fmt::format("is not a list of {} numbers", vocabulary.size()));
  Unigram unigram;
  unigram.options_ = std::move(options);
  double least = 0;
  for (size_t i = 0; i < vocabulary.size(); ++i) {
    const TokenId id = static_cast<TokenId>(i);
    const Vocabulary::Kind kind = vocabulary.kind(id);
    if (!std::isfinite(scores[i])) return bad(fmt::format("has a score that is no number, of token {}", i));
    if (kind == Vocabulary::Kind::unknown) unigram.unknown_ = id;
    if (kind == Vocabulary::Kind::normal) least = std::min(least, static_cast<double>(scores[i]));
    // No text becomes a mark, however it is spelled.
    if (vocabulary.is_mark(id) || kind == Vocabulary::Kind::unused || kind == Vocabulary::Kind::byte || vocabulary.text(id).empty()) continue;
    unigram.entries_.push_back({vocabulary.text(id), id, kind == Vocabulary::Kind::user_defined ? 0.0 : static_cast<double>(scores[i])});
  }
  if (unigram.unknown_ < 0)
    return Status(StatusCode::corrupt, "has no token of the kind 'unknown'", "metadata key 'tokenizer.ggml.token_type'");
  std::stable_sort(unigram.entries_.begin(), unigram.entries_.end(), [](const Entry& a, const Entry& b) { return a.text < b.text; });
  unigram.unknown_score_ = least - kUnknownPenalty;
  return unigram;
}

std::string Unigram::normalized(std::string_view text, bool begins) const {
  const std::string mapped = options_.map.apply(text);
  std::string out;
  bool spaced = !options_.merge_spaces;   // whether a space that comes next is kept
  size_t end = mapped.size();
  if (options_.merge_spaces)
    while (end > 0 && mapped[end - 1] == ' ') --end;
  for (size_t i = 0; i < end; ++i) {
    if (mapped[i] != ' ') {
      if (out.empty() && begins && options_.space_prefix) out += kWrittenSpace;
      out += mapped[i];
      spaced = true;
    } else if (spaced) {
      out += kWrittenSpace;
      spaced = !options_.merge_spaces;
    }
  }
  return out;
}

void Unigram::encode(std::string_view text, bool begins, std::vector<TokenId>& out) const {
  struct Best {
    double score = -std::numeric_limits<double>::infinity();
    size_t begin = 0;
    TokenId token = -1;
  };
  const std::string line = normalized(text, begins);
  if (line.empty()) return;
  std::vector<Best> best(line.size() + 1);   // cuts of the text up to each byte
  best[0].score = 0;
  for (size_t pos = 0; pos < line.size();) {
    size_t next = pos;
    utf8_next(line, next);
    const auto offer = [&](size_t end, double score, TokenId token) {
      if (best[pos].score + score > best[end].score) best[end] = {best[pos].score + score, pos, token};
    };
    // The tokens that the rest begins with: byte after byte, those that go on alike stand together.
    bool single = false;
    size_t low = 0, high = entries_.size();
    for (size_t length = 0; pos + length < line.size() && low < high; ++length) {
      const auto byte = static_cast<unsigned char>(line[pos + length]);
      const auto at = [&](size_t i) { return static_cast<unsigned char>(entries_[i].text[length]); };
      // Those that end here were offered; they stand first.
      while (low < high && entries_[low].text.size() == length) ++low;
      const auto first = entries_.begin() + static_cast<std::ptrdiff_t>(low), last = entries_.begin() + static_cast<std::ptrdiff_t>(high);
      const auto begin = std::lower_bound(first, last, byte, [&](const Entry& e, unsigned char b) { return static_cast<unsigned char>(e.text[length]) < b; });
      const auto end = std::upper_bound(begin, last, byte, [&](unsigned char b, const Entry& e) { return b < static_cast<unsigned char>(e.text[length]); });
      low = static_cast<size_t>(begin - entries_.begin());
      high = static_cast<size_t>(end - entries_.begin());
      if (low == high || at(low) != byte || entries_[low].text.size() != length + 1) continue;
      single = single || pos + length + 1 == next;
      offer(pos + length + 1, entries_[low].score, entries_[low].id);
    }
    if (!single) offer(next, unknown_score_, unknown_);
    pos = next;
  }
  std::vector<TokenId> tokens;
  for (size_t end = line.size(); end > 0; end = best[end].begin)
    if (best[end].token != unknown_ || tokens.empty() || tokens.back() != unknown_) tokens.push_back(best[end].token);
  out.insert(out.end(), tokens.rbegin(), tokens.rend());
}

}  // namespace wenqu::engine
