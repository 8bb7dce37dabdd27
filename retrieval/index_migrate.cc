#include "retrieval/index_migrate.h"

#include "retrieval/index/open_commit.h"
#include "retrieval/index/writer.h"

namespace wenqu::retrieval {
namespace {

// Whether the documents' terms are not those that they would get now.
Result<bool> has_other_terms(const IndexPaths& paths, const Manifest& manifest, const VocabularyChange& vocabulary) {
  if (manifest.analysis != kAnalysisVersion) return true;
  if ((!vocabulary.words && !vocabulary.pinyin) || manifest.commit == 0) return false;
  WENQU_ASSIGN_OR_RETURN(const auto snapshot, open_newest_commit(paths, nullptr));
  const Vocabulary& kept = snapshot->lexicon()->vocabulary();
  return !same_terms(kept, changed(kept, vocabulary));
}

}  // namespace

Result<MigrationReport> migrate_index(const std::string& directory,
                                      const std::function<void(uint64_t done, uint64_t all)>& progress,
                                      const CancelToken& cancel, const VocabularyChange& vocabulary) {
  if (directory.empty()) return Status(StatusCode::invalid_argument, "the index needs a directory");
  const IndexPaths paths(directory);
  // Not before there is something to migrate: a writer makes what is missing.
  const Result<Manifest> there = read_manifest(paths.manifest, Analyses::older_too);
  if (!there) return there.status().code() == StatusCode::not_found ? no_index(paths) : there.status();
  const Manifest& manifest = *there;
  MigrationReport report{manifest.analysis, kAnalysisVersion, 0};
  Writer::Options options;
  options.vocabulary = vocabulary;
  WENQU_ASSIGN_OR_RETURN(options.analyse_again, has_other_terms(paths, manifest, vocabulary));
  if (!options.analyse_again && !vocabulary.synonyms) return report;
  WENQU_ASSIGN_OR_RETURN(const auto writer, Writer::open(paths, options));
  const auto source = writer->snapshot();
  if (source && options.analyse_again) {
    const std::vector<uint8_t>& kinds = source->kinds();
    for (size_t doc = 0; doc < kinds.size(); ++doc) {
      if (kinds[doc] != Snapshot::kRecord) continue;
      WENQU_RETURN_IF_ERROR(cancel.status());
      WENQU_ASSIGN_OR_RETURN(const Document document, source->read_document(static_cast<int32_t>(doc), true));
      WENQU_RETURN_IF_ERROR(writer->add(document));
      ++report.documents;
      if (progress) progress(report.documents, source->documents());
    }
  }
  WENQU_RETURN_IF_ERROR(writer->commit());
  return report;
}

}  // namespace wenqu::retrieval
