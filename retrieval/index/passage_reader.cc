#include "retrieval/index/passage_reader.h"

namespace wenqu::retrieval {

Result<const Passage*> PassageReader::passage(int32_t doc) {
  const auto known = passages_.find(doc);
  if (known != passages_.end()) return &known->second;
  WENQU_ASSIGN_OR_RETURN(Passage read, snapshot_.read_passage(doc));
  return &passages_.emplace(doc, std::move(read)).first->second;
}

Result<Passage> PassageReader::take_passage(int32_t doc) {
  auto known = passages_.extract(doc);
  return known.empty() ? snapshot_.read_passage(doc) : Result<Passage>(std::move(known.mapped()));
}

Result<const Document*> PassageReader::document(int32_t doc) {
  const int32_t record = snapshot_.record_of(doc);
  const auto known = documents_.find(record);
  if (known != documents_.end()) return &known->second;
  WENQU_ASSIGN_OR_RETURN(Document read, snapshot_.read_document(record, false));
  return &documents_.emplace(record, std::move(read)).first->second;
}

}  // namespace wenqu::retrieval
