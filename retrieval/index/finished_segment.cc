#include "retrieval/index/finished_segment.h"

#include <lucene++/SegmentInfo.h>

#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

// The file under its name in the folder, open for reading, as it was meant to be.
Result<std::shared_ptr<const CommittedFile>> open_file(const std::string& folder, const ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(File file, File::open(folder + "/" + entry.name));
  return std::shared_ptr<const CommittedFile>(std::make_shared<CommittedFile>(CommittedFile{std::move(file), entry}));
}

}  // namespace

std::string segment_name(int32_t number) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
    number /= 36;
  } while (number > 0);
  return "_" + digits;
}

Result<ManifestFile> entry_of(const WriterDirectory& directory, const std::string& name) {
  const std::shared_ptr<File> file = directory.written(name);
  if (!file)
    return Status(StatusCode::internal, "a file of the commit was not written by it", directory.folder() + "/" + name);
  ManifestFile entry{name};
  WENQU_ASSIGN_OR_RETURN(entry.bytes, file->size());
  WENQU_ASSIGN_OR_RETURN(entry.crc, file->checksum(entry.bytes));
  return entry;
}

Result<FinishedSegment> open_finished(const boost::shared_ptr<WriterDirectory>& directory, const SegmentOutput& output, uint32_t documents) {
  FinishedSegment finished;
  CommittedFiles files;
  for (const std::string& name : output.files()) {
    WENQU_ASSIGN_OR_RETURN(ManifestFile entry, entry_of(*directory, name));
    WENQU_ASSIGN_OR_RETURN(files[name], open_file(directory->folder(), entry));
    finished.entries.push_back(std::move(entry));
  }
  WENQU_RETURN_IF_ERROR(call_lucene("describing a segment", [&] {
    finished.info = Lucene::newLucene<Lucene::SegmentInfo>(to_wide(output.name()), static_cast<int32_t>(documents),
                                                           Lucene::DirectoryPtr(directory), output.is_compound(), true, -1,
                                                           Lucene::String(), false, true);
    finished.info->setDiagnostics(Lucene::MapStringString::newInstance());  // Lucene++ clones what it expects to be there
  }));
  WENQU_ASSIGN_OR_RETURN(finished.open, OpenSegment::open(finished.info, std::move(files)));
  return finished;
}

}  // namespace wenqu::retrieval
