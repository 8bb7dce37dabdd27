#include "retrieval/similar/collapse.h"

#include <algorithm>
#include <utility>

#include "retrieval/similar/shingles.h"

namespace wenqu::retrieval {
namespace {

// A few words are the same by chance, or are a whole document of one line: they have to be the same altogether.
constexpr size_t kMinShingles = 20;

bool same_wording(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
  if (std::min(a.size(), b.size()) < kMinShingles) return a == b && !a.empty();
  return containment(a, b) >= kSameWording;
}

}  // namespace

void collapse_near_duplicates(std::vector<Hit>& hits) {
  std::vector<Hit> kept;
  std::vector<std::vector<uint64_t>> kept_shingles;
  for (Hit& hit : hits) {
    std::vector<uint64_t> shingles = shingles_of(hit.passage.text);
    size_t same = 0;
    while (same < kept.size() && (kept[same].passage.document_id == hit.passage.document_id || !same_wording(kept_shingles[same], shingles)))
      ++same;
    if (same == kept.size()) {
      kept.push_back(std::move(hit));
      kept_shingles.push_back(std::move(shingles));
    } else if (std::vector<std::string>& copies = kept[same].copies;
               std::find(copies.begin(), copies.end(), hit.passage.document_id) == copies.end()) {
      copies.push_back(std::move(hit.passage.document_id));
    }
  }
  hits = std::move(kept);
}

}  // namespace wenqu::retrieval
