#include "retrieval/hybrid/fusion.h"

#include <algorithm>
#include <unordered_map>

namespace wenqu::retrieval {
namespace {

constexpr double kRankConstant = 60;   // as the paper has it

// What each place of a list is worth.
std::vector<double> worth(const std::vector<ScoredPassage>& list, HybridOptions::Fusion fusion) {
  std::vector<double> values;
  if (list.empty()) return values;
  const auto [least, greatest] =
      std::minmax_element(list.begin(), list.end(), [](const ScoredPassage& a, const ScoredPassage& b) { return a.score < b.score; });
  const double low = static_cast<double>(least->score), span = static_cast<double>(greatest->score) - low;
  for (size_t i = 0; i < list.size(); ++i)
    values.push_back(fusion == HybridOptions::Fusion::ranks ? 1 / (kRankConstant + static_cast<double>(i) + 1)
                     : span > 0                             ? (static_cast<double>(list[i].score) - low) / span
                                                            : 1);
  return values;
}

}  // namespace

std::vector<ScoredPassage> fuse(const std::vector<ScoredPassage>& lexical, const std::vector<ScoredPassage>& dense,
                                const HybridOptions& options, const std::function<int32_t(int32_t)>& group) {
  struct Fused {
    int32_t doc;
    double score;
  };
  std::vector<Fused> fused;
  std::unordered_map<int32_t, size_t> places;
  const auto add = [&](const std::vector<ScoredPassage>& list, double weight) {
    const std::vector<double> values = worth(list, options.fusion);
    std::unordered_map<int32_t, bool> seen;   // only a group's best place in the list counts
    for (size_t i = 0; i < list.size(); ++i) {
      const int32_t key = group(list[i].doc);
      if (!seen.emplace(key, true).second) continue;
      const auto [place, is_new] = places.emplace(key, fused.size());
      if (is_new) fused.push_back({list[i].doc, 0});
      fused[place->second].score += weight * values[i];
    }
  };
  add(lexical, 1 - options.dense_weight);
  add(dense, options.dense_weight);
  std::vector<ScoredPassage> result;
  for (const Fused& one : fused) result.push_back({one.doc, static_cast<float>(one.score)});
  return result;
}

}  // namespace wenqu::retrieval
