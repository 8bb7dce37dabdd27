#include "retrieval/similar/collapse.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "retrieval/similar/shingles.h"

namespace wenqu::retrieval {
namespace {

// A few words are the same by chance, or are a whole document of one line: they have to be the same altogether.
constexpr size_t kMinShingles = 20;
// Two texts no longer than this of one wording but with numbers of their own are two messages of one form, such as a parcel's
// code or a payment; in a longer one, numbers that differ are its date and how often it was read.
constexpr size_t kFormShingles = 300;
// Comparing each with each takes too long further down.
constexpr size_t kMostCompared = 1000;

// What is compared of a passage.
struct Wording {
  std::vector<uint64_t> shingles;
  std::vector<uint64_t> numbers;   // of a short one
};

Wording wording_of(std::string_view text) {
  Wording wording;
  wording.shingles = shingles_of(text);
  if (wording.shingles.size() <= kFormShingles) wording.numbers = numbers_of(text);
  return wording;
}

bool includes(const std::vector<uint64_t>& all, const std::vector<uint64_t>& some) {
  return std::includes(all.begin(), all.end(), some.begin(), some.end());
}

bool same_wording(const Wording& a, const Wording& b) {
  const size_t most = std::max(a.shingles.size(), b.shingles.size());
  if (std::min(a.shingles.size(), b.shingles.size()) < kMinShingles) return a.shingles == b.shingles && a.numbers == b.numbers && most > 0;
  if (most <= kFormShingles && !includes(a.numbers, b.numbers) && !includes(b.numbers, a.numbers)) return false;
  return containment(a.shingles, b.shingles) >= kSameWording;
}

}  // namespace

void collapse_near_duplicates(std::vector<Hit>& hits) {
  std::vector<Hit> kept;
  std::vector<Wording> wordings;   // of those
  for (size_t place = 0; place < hits.size(); ++place) {
    Hit& hit = hits[place];
    if (place >= kMostCompared) {
      kept.push_back(std::move(hit));
      continue;
    }
    Wording wording = wording_of(hit.passage.text);
    size_t same = 0;
    while (same < kept.size() && (kept[same].passage.document_id == hit.passage.document_id || !same_wording(wordings[same], wording)))
      ++same;
    if (same == kept.size()) {
      kept.push_back(std::move(hit));
      wordings.push_back(std::move(wording));
    } else if (std::vector<std::string>& copies = kept[same].copies;
               std::find(copies.begin(), copies.end(), hit.passage.document_id) == copies.end()) {
      copies.push_back(std::move(hit.passage.document_id));
    }
  }
  hits = std::move(kept);
}

}  // namespace wenqu::retrieval
