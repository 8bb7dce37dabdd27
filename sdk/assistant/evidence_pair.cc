#include "sdk/assistant/evidence_pair.h"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/utf8.h"
#include "sdk/assistant/names.h"
#include "sdk/assistant/support.h"

namespace wenqu::assistant {
namespace {

constexpr uint64_t kCommon = 10;         // passages; a word of more of them links nothing
constexpr double kLinkShare = 0.5;       // worth of a perfect link beside coverage of the question
constexpr double kRankShare = 0.15;      // worth of having been found first
constexpr double kMinFirst = 0.2;        // of the question, in the better passage
constexpr double kMinGain = 0.02;        // of a pair over its better passage
constexpr size_t kLinkTerms = 2;         // a name is two pairs
constexpr size_t kConsidered = 16;

struct Side {
  const Evidence* evidence;
  Support::Held held;
  double coverage;
  std::unordered_map<std::string, double> rare;   // word -> weight
};

}  // namespace

Result<std::vector<const Evidence*>> find_evidence_pair(const retrieval::Retriever& retriever, const std::string& question,
                                                        std::span<const Evidence* const> evidence, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const std::vector<retrieval::WeighedTerm> terms, retriever.weigh(question, true, cancel));
  const Support support(terms);
  WENQU_ASSIGN_OR_RETURN(const std::vector<retrieval::WeighedTerm> all_terms, retriever.weigh(question, false, cancel));
  std::unordered_set<std::string> asked;   // pairs within its words too
  for (const retrieval::WeighedTerm& term : all_terms) asked.insert(term.text);

  std::vector<Side> sides;
  std::unordered_set<std::string> documents;
  double heaviest = 0;
  for (const Evidence* item : evidence) {
    if (sides.size() == kConsidered) break;
    if (!documents.insert(item->hit.passage.document_id).second) continue;
    const std::string text = item->hit.title + "\n" + item->hit.passage.text;
    Side side{item, support.held_by(text), 0, {}};
    side.coverage = support.coverage(side.held);
    WENQU_ASSIGN_OR_RETURN(const std::vector<retrieval::WeighedTerm> weighed, retriever.weigh(weighable(text), false, cancel));
    const std::u32string characters = utf8_to_utf32(text);
    for (const retrieval::WeighedTerm& term : weighed) {
      if (term.is_unigram || term.passages < 2 || term.passages > kCommon || asked.contains(term.text)) continue;
      const auto words = std::u32string_view(characters).substr(term.range.begin, term.range.end - term.range.begin);
      // Rare words of no name (an hour, a price) link by accident.
      side.rare.emplace(term.text, term.weight * (looks_like_name(words, false) ? 1.0 : 0.4));
      heaviest = std::max(heaviest, term.weight);
    }
    sides.push_back(std::move(side));
  }

  double best = 0;
  std::vector<const Evidence*> pair;
  for (size_t a = 0; a < sides.size(); ++a) {
    if (sides[a].coverage < kMinFirst) continue;
    for (size_t b = 0; b < sides.size(); ++b) {
      if (b == a || sides[b].coverage > sides[a].coverage) continue;
      const double both = support.coverage(Support::either(sides[a].held, sides[b].held));
      if (both < sides[a].coverage + kMinGain) continue;
      std::vector<double> shared;
      for (const auto& [word, weight] : sides[a].rare)
        if (sides[b].rare.contains(word)) shared.push_back(weight);
      if (shared.empty()) continue;
      std::sort(shared.rbegin(), shared.rend());
      double link = 0;
      for (size_t i = 0; i < shared.size() && i < kLinkTerms; ++i) link += shared[i] / (kLinkTerms * heaviest);
      const double score = both + kLinkShare * link + kRankShare / (1.0 + static_cast<double>(std::min(a, b)));
      if (score > best) {
        best = score;
        pair = {sides[a].evidence, sides[b].evidence};
      }
    }
  }
  return pair;
}

}  // namespace wenqu::assistant
