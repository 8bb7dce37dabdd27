#include "retrieval/index/walk.h"

#include <lucene++/IndexReader.h>
#include <lucene++/Term.h>
#include <lucene++/TermDocs.h>
#include <lucene++/TermEnum.h>

#include <string>

#include "base/utf8.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

constexpr int kTermsBetweenLooks = 1024;  // at the cancel token

Status misfit(std::string what, std::string where) {
  return Status(StatusCode::corrupt, std::move(what), std::move(where));
}

// The passages from `doc` on, up to the next record, are those of `document`. Gives where they end.
Result<int32_t> walk_passages(const Snapshot& snapshot, const Document& document, int32_t doc) {
  const std::u32string text = utf8_to_utf32(document.text);
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  const auto end = static_cast<int32_t>(kinds.size());
  uint32_t ordinal = 0;
  for (; doc < end && kinds[static_cast<size_t>(doc)] < Snapshot::kRecord; ++doc, ++ordinal) {
    WENQU_ASSIGN_OR_RETURN(const Passage passage, snapshot.read_passage(doc));
    if (passage.ordinal != ordinal) return misfit("the passages of a document are out of order", document.id);
    if (passage.range.begin > passage.range.end || passage.range.end > text.size() ||
        utf8_to_utf32(passage.text) !=
            text.substr(passage.range.begin, passage.range.end - passage.range.begin))
      return misfit("a passage is not where it says it stands in its document", document.id);
  }
  if (ordinal == 0) return misfit("a document has no passages", document.id);
  return doc;
}

Status walk_documents(const Snapshot& snapshot, const CancelToken& cancel) {
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  const auto end = static_cast<int32_t>(kinds.size());
  for (int32_t doc = 0; doc < end;) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    const uint8_t kind = kinds[static_cast<size_t>(doc)];
    if (kind == Snapshot::kDeleted) {
      ++doc;
      continue;
    }
    if (kind != Snapshot::kRecord) return misfit("a passage lacks its document", "passage " + std::to_string(doc));
    WENQU_ASSIGN_OR_RETURN(const Document document, snapshot.read_document(doc, true));
    WENQU_ASSIGN_OR_RETURN(const int32_t found, snapshot.find(document.id));
    if (found != doc) return misfit("a document's id leads to another document", document.id);
    WENQU_ASSIGN_OR_RETURN(doc, walk_passages(snapshot, document, doc + 1));
  }
  return {};
}

Status walk_terms(const Snapshot::Segment& segment, const CancelToken& cancel) {
  const Lucene::TermEnumPtr terms = segment.reader->terms();
  const Lucene::TermDocsPtr postings = segment.reader->termDocs();
  for (int64_t count = 1; terms->next(); ++count) {
    if (count % kTermsBetweenLooks == 0) WENQU_RETURN_IF_ERROR(cancel.status());
    postings->seek(terms->term());
    int32_t before = -1;
    int32_t holders = 0;
    for (; postings->next(); before = postings->doc(), ++holders)
      if (postings->doc() <= before || postings->doc() >= segment.size || postings->freq() < 1)
        return misfit("a list of postings is out of order", from_wide(terms->term()->text()));
    // Deleted passages are counted in the frequency, but not met.
    if (holders > terms->docFreq())
      return misfit("a term is in more passages than it tells", from_wide(terms->term()->text()));
  }
  return {};
}

}  // namespace

Status walk_commit(const Snapshot& snapshot, const CancelToken& cancel) {
  WENQU_RETURN_IF_ERROR(walk_documents(snapshot, cancel));
  for (const Snapshot::Segment& segment : snapshot.segments()) {
    Status walked;
    WENQU_RETURN_IF_ERROR(call_lucene("walking the postings", [&] { walked = walk_terms(segment, cancel); }));
    WENQU_RETURN_IF_ERROR(walked);
  }
  return {};
}

}  // namespace wenqu::retrieval
