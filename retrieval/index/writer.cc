#include "retrieval/index/writer.h"

#include <lucene++/SerialMergeScheduler.h>

#include <set>

#include "retrieval/documents/passages.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/index/verified_merge.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

constexpr double kBufferMegabytes = 64;
// Only a hint of Lucene++ about its newest commit, written anew each time; the manifest knows better.
constexpr const char* kHintFile = "segments.gen";

std::set<std::string> names_of(const Manifest& manifest) {
  std::set<std::string> names;
  for (const ManifestFile& file : manifest.files) names.insert(file.name);
  return names;
}

bool is_lucene_name(const std::string& name) { return name.starts_with('_') || name.starts_with("segments"); }

// Whatever else a folder is, an index must not be mixed into it. Another process may just be beginning one: it makes
// the lock first, so whoever finds something there finds that too.
Status refuse_other_folders(const IndexPaths& paths) {
  WENQU_ASSIGN_OR_RETURN(const bool empty, is_empty_directory(paths.directory));
  if (empty) return {};
  for (const std::string& ours :
       {paths.lock, paths.manifest, replacement_of(paths.manifest), paths.previous_manifest}) {
    WENQU_ASSIGN_OR_RETURN(const bool there, exists(ours));
    if (there) return {};
  }
  return Status(StatusCode::invalid_argument,
                "the folder holds other things and is no index: name a new or an empty folder", paths.directory);
}

// A new index starts with the manifest of commit 0, which names no file. So files without a manifest are
// never taken for those of an index that is just beginning, and swept away.
Status begin_index(const IndexPaths& paths) {
  for (const std::string& manifest : {paths.manifest, paths.previous_manifest}) {
    WENQU_ASSIGN_OR_RETURN(const bool there, exists(manifest));
    if (there) return {};
  }
  WENQU_ASSIGN_OR_RETURN(const bool empty, is_empty_directory(paths.lucene));
  if (!empty)
    return Status(StatusCode::corrupt,
                  "the manifests are gone, which alone tell what of the files is the index: put `manifest` back "
                  "from a copy, or index the documents again into an empty folder",
                  paths.directory);
  return write_manifest(paths, Manifest());
}

}  // namespace

Result<std::unique_ptr<Writer>> Writer::open(const IndexPaths& paths) {
  warm_up_lucene();
  WENQU_RETURN_IF_ERROR(refuse_other_folders(paths));
  WENQU_RETURN_IF_ERROR(create_directories(paths.directory));
  WENQU_ASSIGN_OR_RETURN(WriteLock lock, WriteLock::acquire(paths.directory, paths.lock));
  WENQU_RETURN_IF_ERROR(begin_index(paths));
  WENQU_RETURN_IF_ERROR(create_directories(paths.lucene));
  std::unique_ptr<Writer> writer;
  WENQU_RETURN_IF_ERROR(call_lucene("preparing to write", [&] {
    writer.reset(new Writer(paths, std::move(lock)));
  }));
  WENQU_RETURN_IF_ERROR(writer->start());
  return writer;
}

Writer::~Writer() { stop(); }

Status Writer::start() {
  // A writer that died may have left a commit that is seen but does not last yet. Before anything
  // builds on it, or is removed because of it, it has to.
  WENQU_RETURN_IF_ERROR(sync_directory(paths_.directory));
  auto newest = open_newest_commit(paths_, snapshot_);
  if (newest)
    snapshot_ = std::move(*newest);
  else if (newest.status().code() != StatusCode::not_found)
    return newest.status();
  const Manifest* committed = snapshot_ ? &snapshot_->manifest() : nullptr;
  WENQU_RETURN_IF_ERROR(call_lucene("opening the index for writing", [&] {
    directory_ = newLucene<WriterDirectory>(paths_.lucene, committed);
  }));
  collect_garbage();
  return call_lucene("opening the index for writing", [&] {
    const auto writer =
        newLucene<Lucene::IndexWriter>(Lucene::DirectoryPtr(directory_), newLucene<Lucene::KeywordAnalyzer>(),
                                       committed == nullptr, Lucene::IndexWriter::MaxFieldLengthUNLIMITED);
    writer->setSimilarity(newLucene<LengthSimilarity>());
    writer->setMergePolicy(newLucene<VerifiedMergePolicy>(writer, [this](const std::string& name) {
      return snapshot_ ? snapshot_->verify(name) : Status();
    }));
    // The default scheduler merges on threads of its own and may outlive the writer.
    writer->setMergeScheduler(newLucene<Lucene::SerialMergeScheduler>());
    writer->setRAMBufferSizeMB(kBufferMegabytes);
    // A look-up scans half this many terms; the default of 128 made it most of a query's time.
    writer->setTermIndexInterval(32);
    writer_ = writer;
  });
}

Status Writer::ensure_started() { return writer_ ? Status() : start(); }

void Writer::stop() {
  if (writer_) (void)call_lucene("dropping changes", [&] { writer_->rollback(); }).is_ok();
  writer_.reset();
  directory_.reset();
  uncommitted_ids_.clear();
  changed_ = false;
}

Status Writer::fail(Status why) {
  if (lost_) lost_ = why;
  stop();
  return why;
}

Status Writer::add(const Document& document) {
  WENQU_RETURN_IF_ERROR(ensure_started());
  Status status = delete_document(document.id);
  if (status) status = write_passages(document);
  if (status) status = directory_->write_status();
  return status ? status : fail(status);
}

Status Writer::remove(const std::string& document_id) {
  WENQU_RETURN_IF_ERROR(ensure_started());
  const Status status = delete_document(document_id);
  return status ? status : fail(status);
}

Status Writer::delete_document(const std::string& document_id) {
  // A delete makes Lucene++ look into every segment at the commit, so one that finds nothing is left out.
  if (!uncommitted_ids_.contains(document_id)) {
    if (!snapshot_) return {};
    const auto found = snapshot_->find(document_id);
    if (!found) return found.status().code() == StatusCode::not_found ? Status() : found.status();
  }
  changed_ = true;
  return call_lucene("deleting a document", [&] { writer_->deleteDocuments(id_term(document_id)); });
}

Status Writer::write_passages(const Document& document) {
  changed_ = true;
  return call_lucene("adding a document", [&] {
    uncommitted_ids_.insert(document.id);
    writer_->addDocument(fields_.record(document));
    fields_.set_title(analyzer_.analyze(document.title));
    std::vector<Passage> passages = split_passages(document);
    // A video may have nothing but a title; it is found by that.
    if (passages.empty()) passages.emplace_back();
    for (const Passage& passage : passages)
      writer_->addDocument(fields_.passage(document, passage, analyzer_.analyze(passage.text)));
  });
}

Status Writer::commit() {
  if (!lost_) {
    const Status why = std::exchange(lost_, Status());
    stop();
    return Status(why.code(), "changes since the last commit were lost: " + why.message() + "; make them again",
                  why.where());
  }
  WENQU_RETURN_IF_ERROR(ensure_started());
  if (!changed_ && snapshot_) return {};
  Status status = call_lucene("committing", [&] { writer_->commit(); });
  if (status) status = directory_->write_status();
  if (status) status = publish();
  if (!status) {
    stop();
    return Status(status.code(),
                  status.message() + "; the commit before it stands, changes since then are dropped: "
                                     "make them again",
                  status.where());
  }
  changed_ = false;
  uncommitted_ids_.clear();
  return {};
}

Result<Manifest> Writer::describe_commit() {
  Manifest manifest;
  manifest.commit = (snapshot_ ? snapshot_->manifest().commit : 0) + 1;
  std::map<std::string, ManifestFile> known;
  if (snapshot_)
    for (const ManifestFile& file : snapshot_->manifest().files) known.emplace(file.name, file);
  for (const std::string& name : directory_->names()) {
    if (name == kHintFile) continue;
    if (const auto found = known.find(name); found != known.end()) {
      manifest.files.push_back(found->second);
      continue;
    }
    const std::shared_ptr<File> file = directory_->written(name);
    if (!file) return Status(StatusCode::internal, "a file of the commit was not written by it", paths_.lucene + "/" + name);
    WENQU_RETURN_IF_ERROR(file->sync());
    ManifestFile entry{name};
    WENQU_ASSIGN_OR_RETURN(entry.bytes, file->size());
    WENQU_ASSIGN_OR_RETURN(entry.crc, file->checksum(entry.bytes));
    WENQU_RETURN_IF_ERROR(file->close());
    manifest.files.push_back(std::move(entry));
  }
  WENQU_RETURN_IF_ERROR(sync_directory(paths_.lucene));
  return manifest;
}

Status Writer::publish() {
  WENQU_ASSIGN_OR_RETURN(const Manifest manifest, describe_commit());
  WENQU_ASSIGN_OR_RETURN(auto fresh, Snapshot::open(paths_, manifest, snapshot_.get()));
  int32_t expected = 0;
  WENQU_RETURN_IF_ERROR(call_lucene("counting the commit", [&] { expected = writer_->numDocs(); }));
  if (fresh->documents() + fresh->passages() != static_cast<uint64_t>(expected))
    return Status(StatusCode::internal, "the commit does not hold what was written", paths_.lucene);
  WENQU_RETURN_IF_ERROR(lock_.check_still_there());
  WENQU_RETURN_IF_ERROR(write_manifest(paths_, manifest));
  directory_->release_written();
  snapshot_ = std::move(fresh);
  collect_garbage();
  return {};
}

void Writer::collect_garbage() {
  std::set<std::string> wanted;
  if (snapshot_) wanted = names_of(snapshot_->manifest());
  const auto previous = read_manifest(paths_.previous_manifest);
  if (previous) wanted.merge(names_of(*previous));
  directory_->protect(wanted);
  // One that cannot be read today may be needed tomorrow.
  if (previous.status().code() == StatusCode::io_error) return;
  auto present = list_files(paths_.lucene);
  if (!present) return;  // garbage does no harm; the next commit tries again
  for (const std::string& name : *present)
    if (is_lucene_name(name) && !wanted.contains(name) && !directory_->names().contains(name))
      (void)remove_file(paths_.lucene + "/" + name).is_ok();
}

}  // namespace wenqu::retrieval
