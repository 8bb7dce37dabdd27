#include "retrieval/remote/fuse.h"

#include <algorithm>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "retrieval/hybrid/fusion.h"

namespace wenqu::retrieval {
namespace {

void sort_best_first(std::vector<RemoteHit>& hits) {
  std::sort(hits.begin(), hits.end(), [](const RemoteHit& a, const RemoteHit& b) {
    return std::tie(b.hit.score, a.hit.passage.document_id, a.hit.passage.ordinal) <
           std::tie(a.hit.score, b.hit.passage.document_id, b.hit.passage.ordinal);
  });
}

// The hits of both lists, each passage once, by number.
class Numbered {
 public:
  std::vector<ScoredPassage> add(std::vector<RemoteHit> hits) {
    std::vector<ScoredPassage> list;
    for (RemoteHit& found : hits) {
      const Passage& passage = found.hit.passage;
      const auto [place, is_new] = numbers_.emplace(std::pair(passage.document_id, passage.ordinal), hits_.size());
      documents_.emplace(passage.document_id, documents_.size());
      list.push_back({static_cast<int32_t>(place->second), static_cast<float>(found.hit.score)});
      if (is_new) hits_.push_back(std::move(found));
    }
    return list;
  }
  RemoteHit& hit(int32_t number) { return hits_[static_cast<size_t>(number)]; }
  int32_t document_of(int32_t number) { return static_cast<int32_t>(documents_.at(hit(number).hit.passage.document_id)); }

 private:
  std::vector<RemoteHit> hits_;
  std::map<std::pair<std::string, uint32_t>, size_t> numbers_;
  std::map<std::string, size_t> documents_;
};

}  // namespace

std::vector<RemoteHit> fuse_remote(std::vector<RemoteHit> by_words, std::vector<RemoteHit> by_vector, const SearchRequest& request) {
  sort_best_first(by_vector);
  Numbered numbered;
  const std::vector<ScoredPassage> lexical = numbered.add(std::move(by_words)), dense = numbered.add(std::move(by_vector));
  std::vector<RemoteHit> fused;
  for (const ScoredPassage& one : fuse(lexical, dense, request.hybrid, [&](int32_t number) {
         return request.one_per_document ? numbered.document_of(number) : number;
       })) {
    fused.push_back(numbered.hit(one.doc));
    fused.back().hit.score = static_cast<double>(one.score);
  }
  sort_best_first(fused);
  return fused;
}

}  // namespace wenqu::retrieval
