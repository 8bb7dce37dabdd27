#include "retrieval/rank/occurrences.h"

#include <algorithm>
#include <array>
#include <memory>
#include <tuple>

#include "retrieval/rank/length_table.h"
#include "retrieval/rank/term_cursor.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

// The runs of one segment, counted from its first passage.
std::vector<PassageRun> runs_of(const Snapshot::Segment& segment, const std::vector<PassageRun>& runs) {
  std::vector<PassageRun> own;
  for (const PassageRun& run : runs) {
    const PassageRun part{std::max(run.begin - segment.base, 0), std::min(run.end - segment.base, segment.size)};
    if (part.begin < part.end) own.push_back(part);
  }
  return own;
}

}  // namespace

PassageRun passages_of_document(const Snapshot& snapshot, int32_t doc) {
  const std::vector<uint8_t>& kinds = snapshot.kinds();
  PassageRun run{snapshot.record_of(doc) + 1, doc + 1};
  while (static_cast<size_t>(run.end) < kinds.size() && kinds[static_cast<size_t>(run.end)] < Snapshot::kRecord) ++run.end;
  return run;
}

Result<std::vector<Occurrence>> gather_occurrences(const Snapshot& snapshot, const std::vector<QuestionTerm>& terms,
                                                   const std::vector<PassageRun>& runs, const CancelToken& cancel) {
  std::vector<Occurrence> found;
  std::array<std::unique_ptr<Saturation>, kTermFields> saturations;
  Status status;
  const Status called = call_lucene("reading postings", [&] {
    for (const Snapshot::Segment& segment : snapshot.segments()) {
      const std::vector<PassageRun> own = runs_of(segment, runs);
      if (own.empty()) continue;
      PostingsReader reader = snapshot.postings(segment);
      for (uint32_t i = 0; i < terms.size() && status; ++i) {
        status = cancel.status();
        for (const TermField field : fields_of(terms[i].term.kind)) {
          const uint8_t* lengths = segment.lengths_of(field);
          if (!lengths) continue;
          std::unique_ptr<Saturation>& saturation = saturations[static_cast<size_t>(field)];
          if (!saturation) saturation = std::make_unique<Saturation>(length_table(snapshot, RankingParameters(), field));
          Postings postings = reader.find(field, terms[i].key, lengths, saturation->table());
          if (!postings) continue;
          TermCursor cursor(reader, std::move(postings), 0, *saturation, lengths);
          for (const PassageRun& run : own)
            cursor.visit(run.begin, run.end, [&](int32_t doc, uint32_t frequency) {
              found.push_back({segment.base + doc, i, field, frequency});
            });
        }
      }
    }
  });
  if (!called) return called;
  WENQU_RETURN_IF_ERROR(status);
  std::sort(found.begin(), found.end(), [](const Occurrence& a, const Occurrence& b) {
    return std::tie(a.doc, a.term, a.field) < std::tie(b.doc, b.term, b.field);
  });
  return found;
}

}  // namespace wenqu::retrieval
