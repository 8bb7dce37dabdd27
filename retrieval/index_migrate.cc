#include "retrieval/index_migrate.h"

#include "retrieval/index/open_commit.h"
#include "retrieval/index/writer.h"

namespace wenqu::retrieval {

Result<MigrationReport> migrate_index(const std::string& directory,
                                      const std::function<void(uint64_t done, uint64_t all)>& progress,
                                      const CancelToken& cancel) {
  if (directory.empty()) return Status(StatusCode::invalid_argument, "the index needs a directory");
  const IndexPaths paths(directory);
  // Not before there is something to migrate: a writer makes what is missing.
  WENQU_ASSIGN_OR_RETURN(const Manifest manifest, read_manifest(paths.manifest, Analyses::older_too));
  MigrationReport report{manifest.analysis, kAnalysisVersion, 0};
  if (report.from == kAnalysisVersion) return report;
  Writer::Options options;
  options.analyse_again = true;
  WENQU_ASSIGN_OR_RETURN(const auto writer, Writer::open(paths, options));
  const auto source = writer->snapshot();
  if (source) {
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
