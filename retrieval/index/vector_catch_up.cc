#include "retrieval/index/vector_catch_up.h"

namespace wenqu::retrieval {

Status catch_up(const Snapshot& snapshot, VectorWriter& vectors, bool& changed) {
  if (vectors.last() && vectors.last()->commit() == snapshot.manifest().commit) return {};
  changed = true;
  std::set<std::string> gone = vectors.documents();
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  const auto end = static_cast<int32_t>(kinds.size());
  for (int32_t doc = 0; doc < end;) {
    if (kinds[static_cast<size_t>(doc)] != Snapshot::kRecord) {
      ++doc;
      continue;
    }
    WENQU_ASSIGN_OR_RETURN(const Document document, snapshot.read_document(doc, false));
    std::vector<Passage> passages;
    for (++doc; doc < end && kinds[static_cast<size_t>(doc)] < Snapshot::kRecord; ++doc) {
      WENQU_ASSIGN_OR_RETURN(Passage passage, snapshot.read_passage(doc));
      passages.push_back(std::move(passage));
    }
    gone.erase(document.id);
    if (!vectors.has(document.id, document.title, passages)) WENQU_RETURN_IF_ERROR(vectors.add(document.id, document.title, passages));
  }
  for (const std::string& id : gone) vectors.remove(id);
  return {};
}

}  // namespace wenqu::retrieval
