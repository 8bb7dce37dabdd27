#include "sdk/assistant/support.h"

namespace wenqu::assistant {
namespace {

// A single Chinese character says little beside the pairs it is part of; alone ("糖？") it is all
// there is.
constexpr double kUnigramShare = 0.15;

// A pair of characters that no passage holds is more often the seam of two words ("在坐" of 现在坐) than
// a word the collection does not know, yet it has the greatest weight of all.
constexpr double kUnknownShare = 0.15;

}  // namespace

Support::Support(const std::vector<retrieval::WeighedTerm>& terms) {
  for (const retrieval::WeighedTerm& term : terms) {
    const bool is_pair = static_cast<unsigned char>(term.text.front()) >= 0xE0;   // three bytes and more: not Latin
    const double share = term.is_unigram ? kUnigramShare : term.passages == 0 && is_pair ? kUnknownShare : 1.0;
    const double weight = term.weight * share;
    index_.emplace(term.text, weights_.size());
    weights_.push_back(weight);
    total_ += weight;
  }
}

Support::Held Support::held_by(std::string_view text) const {
  Held held(weights_.size(), false);
  for (const retrieval::Term& term : analyzer_.analyze(text))
    if (const auto found = index_.find(term.text); found != index_.end()) held[found->second] = true;
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
