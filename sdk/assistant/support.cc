#include "sdk/assistant/support.h"

#include <algorithm>
#include <map>
#include <unordered_set>

#include "base/utf8.h"
#include "retrieval/analysis/fold.h"

namespace wenqu::assistant {
namespace {

// Chosen on DRCD dev with half of its articles indexed (scripts/eval-refusals) and the town's questions (scripts/eval). A
// single Chinese character says less than the words it is part of; a pair that lies in no word is as often their seam
// ("在坐" of 现在坐) as part of a name, mostly so where no passage holds it; and a word that no passage holds would weigh
// most of all, though it may only be another word for what they say.
constexpr double kUnigramShare = 0.6;
constexpr double kPairShare = 0.5, kUnknownPairShare = 0.2;
constexpr double kUnknownWordShare = 0.5;

double share_of(const retrieval::WeighedTerm& term) {
  if (term.is_unigram) return kUnigramShare;
  if (term.is_dictionary_word) return term.passages == 0 ? kUnknownWordShare : 1;
  const bool is_pair = static_cast<unsigned char>(term.text.front()) >= 0xE0;   // three bytes and more: not Latin
  if (!is_pair) return 1;
  return term.passages == 0 ? kUnknownPairShare : kPairShare;
}

}  // namespace

Support::Support(const std::vector<retrieval::WeighedTerm>& terms) {
  std::map<std::string, std::vector<size_t>> others;
  for (const retrieval::WeighedTerm& term : terms) {
    const double weight = term.weight * share_of(term);
    if (term.is_dictionary_word) words_.emplace_back(utf8_to_utf32(term.text), weights_.size());
    else index_.emplace(term.text, weights_.size());
    for (const std::string& other : term.others) others[other].push_back(weights_.size());
    weights_.push_back(weight);
    total_ += weight;
  }
  for (auto& [text, places] : others) {
    Other& other = others_.emplace_back(Other{{}, std::move(places)});
    for (retrieval::Term& term : analyzer_.analyze(text))
      if (term.kind != retrieval::Term::Kind::dictionary_word) other.parts.push_back(std::move(term.text));
  }
}

Support::Held Support::held_by(std::string_view text) const {
  Held held(weights_.size(), false);
  std::unordered_set<std::string> parts;   // where synonyms are looked for
  for (retrieval::Term& term : analyzer_.analyze(text)) {
    if (term.kind == retrieval::Term::Kind::dictionary_word) continue;
    if (const auto found = index_.find(term.text); found != index_.end()) held[found->second] = true;
    if (!others_.empty()) parts.insert(std::move(term.text));
  }
  if (!words_.empty()) {
    // However the text around it would be cut into words.
    std::u32string folded;
    for (const retrieval::FoldedChar& c : retrieval::fold(text)) folded += c.code_point;
    for (const auto& [word, place] : words_) held[place] = folded.find(word) != folded.npos;
  }
  for (const Other& other : others_)
    if (std::all_of(other.parts.begin(), other.parts.end(), [&](const std::string& part) { return parts.contains(part); }))
      for (const size_t place : other.places) held[place] = true;
  return held;
}

Support::Held Support::either(const Held& a, const Held& b) {
  Held both = a;
  for (size_t i = 0; i < b.size(); ++i)
    if (b[i]) both[i] = true;
  return both;
}

double Support::coverage(const Held& held) const {
  if (empty()) return 0;
  double sum = 0;
  for (size_t i = 0; i < held.size(); ++i)
    if (held[i]) sum += weights_[i];
  return sum / total_;
}

}  // namespace wenqu::assistant
