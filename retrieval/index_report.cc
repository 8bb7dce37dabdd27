#include "retrieval/index_report.h"

#include <lucene++/Lucene.h>
#include <lucene++/IndexReader.h>
#include <lucene++/Term.h>
#include <lucene++/TermEnum.h>

#include <algorithm>
#include <array>
#include <utility>

#include "retrieval/index/open_commit.h"
#include "retrieval/index/schema.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

constexpr int kTermsBetweenLooks = 1024;   // at the cancel token

constexpr std::array<std::pair<const char*, const char*>, 7> kContents = {{
    {"tis", "terms"}, {"tii", "terms"}, {"frq", "postings"}, {"prx", "postings"},
    {"fdt", "stored text"}, {"fdx", "stored text"}, {"nrm", "lengths"}}};

double share(uint64_t part, uint64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

Status add_contents(const Snapshot& snapshot, IndexReport& report) {
  uint64_t known = 0;
  for (const Snapshot::Segment& segment : snapshot.segments()) {
    for (const auto& [ending, content] : kContents) {
      WENQU_ASSIGN_OR_RETURN(const ByteSource part, segment.open->part(ending));
      report.bytes_by_content[content] += part.size();
      known += part.size();
    }
    if (!segment.deletions_file) continue;
    report.bytes_by_content["deletions"] += segment.deletions_file->entry.bytes;
    known += segment.deletions_file->entry.bytes;
  }
  for (const ManifestFile& file : snapshot.manifest().vectors) {
    report.bytes_by_content["vectors"] += file.bytes;
    known += file.bytes;
  }
  // Segments that share a store of texts are counted with all of it each.
  if (known <= report.bytes) report.bytes_by_content["other"] = report.bytes - known;
  return {};
}

// Throws what Lucene++ throws.
Status add_terms(const Snapshot& snapshot, size_t top, const CancelToken& cancel, FieldReport& field, size_t number) {
  std::map<std::wstring, uint64_t> counts;
  const Lucene::String name = kTermFieldNames[number];
  int seen = 0;
  for (const Snapshot::Segment& segment : snapshot.segments()) {
    const auto terms = segment.reader->terms(Lucene::newLucene<Lucene::Term>(name, Lucene::String()));
    while (terms->term() && terms->term()->field() == name) {
      if (++seen % kTermsBetweenLooks == 0) WENQU_RETURN_IF_ERROR(cancel.status());
      counts[terms->term()->text()] += static_cast<uint64_t>(terms->docFreq());
      if (!terms->next()) break;
    }
  }
  field.terms = counts.size();
  std::vector<std::pair<std::wstring, uint64_t>> all(counts.begin(), counts.end());
  const size_t kept = std::min(top, all.size());
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(kept), all.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  for (size_t i = 0; i < kept; ++i) field.top.push_back({from_wide(all[i].first), all[i].second});
  return {};
}

}  // namespace

Result<IndexReport> report_index(const std::string& directory, size_t top_terms, const CancelToken& cancel) {
  WENQU_ASSIGN_OR_RETURN(const auto snapshot, open_newest_commit(IndexPaths(directory), nullptr));
  IndexReport report;
  report.commit = snapshot->manifest().commit;
  report.documents = snapshot->documents();
  report.passages = snapshot->passages();
  report.files = snapshot->manifest().files.size() + snapshot->manifest().vectors.size();
  report.bytes = snapshot->bytes();
  const Vocabulary& vocabulary = snapshot->lexicon()->vocabulary();
  report.user_words = vocabulary.words.size();
  report.synonym_rules = vocabulary.synonyms.size();
  report.pinyin = vocabulary.pinyin;
  uint64_t deleted = 0;
  uint64_t all = 0;
  for (const Snapshot::Segment& segment : snapshot->segments()) {
    const uint64_t gone = segment.deletions ? segment.deletions->count() : 0;
    const auto size = static_cast<uint64_t>(segment.size);
    report.segments.push_back({segment.open->name(), segment.counts.documents, segment.counts.passages,
                               share(gone, size), segment.open->bytes()});
    deleted += gone;
    all += size;
  }
  report.deleted = share(deleted, all);
  WENQU_RETURN_IF_ERROR(add_contents(*snapshot, report));
  for (size_t field = 0; field < kTermFields; ++field) {
    FieldReport entry;
    entry.name = from_wide(kTermFieldNames[field]);
    entry.average_length = snapshot->average_length(static_cast<TermField>(field));
    Status walked;
    if (top_terms > 0)
      WENQU_RETURN_IF_ERROR(call_lucene("reading the terms", [&] {
        walked = add_terms(*snapshot, top_terms, cancel, entry, field);
      }));
    WENQU_RETURN_IF_ERROR(walked);
    report.fields.push_back(std::move(entry));
  }
  return report;
}

}  // namespace wenqu::retrieval
