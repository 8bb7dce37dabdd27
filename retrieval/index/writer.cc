#include "retrieval/index/writer.h"

#include <lucene++/SegmentInfo.h>
#include <lucene++/TermDocs.h>

#include <algorithm>
#include <set>

#include "retrieval/documents/passages.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/index/segment_output.h"
#include "retrieval/index/vector_catch_up.h"
#include "retrieval/store/crc32c.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

// Merges above this size are written into a file for each part, as compound ones are gathered in memory.
constexpr uint64_t kMaxCompoundBytes = uint64_t{16} << 20;
// Only a hint of Lucene++ about its newest commit, written anew each time; the manifest knows better.
constexpr const char* kHintFile = "segments.gen";

std::set<std::string> names_of(const Manifest& manifest) {
  std::set<std::string> names;
  for (const ManifestFile& file : manifest.files) names.insert(file.name);
  return names;
}

// As Lucene++ calls its segments: an underscore and the number to the base of 36.
std::string segment_name(int32_t number) {
  std::string digits;
  do {
    digits.insert(digits.begin(), "0123456789abcdefghijklmnopqrstuvwxyz"[number % 36]);
    number /= 36;
  } while (number > 0);
  return "_" + digits;
}

// The file under its name in the folder, open for reading, as it was meant to be.
Result<std::shared_ptr<const CommittedFile>> open_file(const std::string& folder, const ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(File file, File::open(folder + "/" + entry.name));
  return std::shared_ptr<const CommittedFile>(std::make_shared<CommittedFile>(CommittedFile{std::move(file), entry}));
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

// What SegmentOutput made, opened as a segment.
struct Finished {
  std::vector<ManifestFile> entries;
  Lucene::SegmentInfoPtr info;
  std::shared_ptr<const OpenSegment> open;
};

Result<Finished> open_finished(const boost::shared_ptr<WriterDirectory>& directory, const SegmentOutput& output,
                               uint32_t documents) {
  Finished finished;
  CommittedFiles files;
  for (const std::string& name : output.files()) {
    WENQU_ASSIGN_OR_RETURN(ManifestFile entry, entry_of(*directory, name));
    WENQU_ASSIGN_OR_RETURN(files[name], open_file(directory->folder(), entry));
    finished.entries.push_back(std::move(entry));
  }
  WENQU_RETURN_IF_ERROR(call_lucene("describing a segment", [&] {
    finished.info = newLucene<Lucene::SegmentInfo>(to_wide(output.name()), static_cast<int32_t>(documents),
                                                   Lucene::DirectoryPtr(directory), output.is_compound(), true, -1,
                                                   Lucene::String(), false, true);
    finished.info->setDiagnostics(Lucene::MapStringString::newInstance());  // Lucene++ clones what it expects to be there
  }));
  WENQU_ASSIGN_OR_RETURN(finished.open, OpenSegment::open(finished.info, std::move(files)));
  return finished;
}

bool is_lucene_name(const std::string& name) {
  return name.starts_with('_') || name.starts_with("segments") || name.starts_with(kVocabularyPrefix);
}

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

Result<std::unique_ptr<Writer>> Writer::open(const IndexPaths& paths, const Options& options) {
  warm_up_lucene();
  WENQU_RETURN_IF_ERROR(refuse_other_folders(paths));
  WENQU_RETURN_IF_ERROR(create_directories(paths.directory));
  WENQU_ASSIGN_OR_RETURN(WriteLock lock, WriteLock::acquire(paths.directory, paths.lock));
  WENQU_RETURN_IF_ERROR(begin_index(paths));
  WENQU_RETURN_IF_ERROR(create_directories(paths.lucene));
  std::unique_ptr<Writer> writer(new Writer(paths, std::move(lock), options));
  WENQU_RETURN_IF_ERROR(writer->start());
  return writer;
}

Writer::~Writer() { stop(); }

Status Writer::use_vectors(const EmbeddingModel& model, bool again) {
  std::shared_ptr<const VectorSet> last;
  if (committed_ && !committed_->manifest().vectors.empty() && !again) {
    WENQU_ASSIGN_OR_RETURN(last, VectorSet::open(paths_, committed_->manifest(), nullptr));
  }
  WENQU_ASSIGN_OR_RETURN(vectors_, VectorWriter::create(paths_, model, std::move(last)));
  return committed_ ? catch_up(*committed_, *vectors_, changed_) : Status();
}

Status Writer::start() {
  // A writer that died may have left a commit that is seen but does not last yet. Before anything
  // builds on it, or is removed because of it, it has to.
  WENQU_RETURN_IF_ERROR(sync_directory(paths_.directory));
  auto newest = open_newest_commit(paths_, committed_, options_.analyse_again ? Analyses::older_too : Analyses::this_only);
  if (newest)
    committed_ = std::move(*newest);
  else if (newest.status().code() != StatusCode::not_found)
    return newest.status();
  visible_ = committed_;
  const Manifest* committed = committed_ ? &committed_->manifest() : nullptr;
  const auto directory = newLucene<WriterDirectory>(paths_.lucene, committed);
  live_.clear();
  segments_file_.clear();
  WENQU_RETURN_IF_ERROR(call_lucene("opening the index for writing", [&] {
    infos_ = newLucene<Lucene::SegmentInfos>();
    if (committed_) {
      infos_->read(Lucene::DirectoryPtr(directory));
      segments_file_ = from_wide(infos_->getCurrentSegmentFileName());
      for (int32_t i = 0; i < infos_->size(); ++i) {
        const Snapshot::Segment& segment = committed_->segments().at(static_cast<size_t>(i));
        std::shared_ptr<Deletions> deletions;
        if (segment.deletions) deletions = std::make_shared<Deletions>(*segment.deletions);
        live_.push_back({infos_->info(i), segment.open, std::move(deletions), false});
      }
    }
    next_name_ = std::max(next_name_, infos_->counter);
  }));
  if (options_.analyse_again) {
    live_.clear();
    changed_ = rearranged_ = true;
  }
  WENQU_RETURN_IF_ERROR(learn());
  directory_ = directory;
  collect_garbage();
  return {};
}

Status Writer::learn() {
  lexicon_ = committed_ ? committed_->lexicon() : Lexicon::plain();
  vocabulary_file_ = committed_ ? committed_->vocabulary_file() : std::string();
  vocabulary_unwritten_ = false;
  if (options_.vocabulary.any()) WENQU_RETURN_IF_ERROR(take_over(changed(lexicon_->vocabulary(), options_.vocabulary)));
  analyzer_ = Analyzer(lexicon_);
  return {};
}

Status Writer::take_over(Vocabulary wanted) {
  if (wanted == lexicon_->vocabulary()) return {};
  WENQU_RETURN_IF_ERROR(check_vocabulary(wanted));
  const bool other_terms = !same_terms(wanted, lexicon_->vocabulary());
  if (other_terms && !options_.analyse_again && committed_ && committed_->documents() > 0)
    return other_words_mismatch(paths_.directory);
  WENQU_ASSIGN_OR_RETURN(lexicon_, Lexicon::create(std::move(wanted)));
  vocabulary_unwritten_ = changed_ = unseen_ = true;
  return {};
}

Status Writer::ensure_started() {
  if (directory_) return {};
  WENQU_RETURN_IF_ERROR(start());
  if (!vectors_ || !committed_) return {};
  Status caught_up = catch_up(*committed_, *vectors_, changed_);
  if (!caught_up) stop();   // a commit of half of them would pass for one of all
  return caught_up;
}

void Writer::stop() {
  for (const auto& [name, entry] : fresh_)
    if (directory_) directory_->remove(name);
  directory_.reset();
  infos_.reset();
  live_.clear();
  buffer_.clear();
  fresh_.clear();
  lasting_.clear();
  if (vectors_) vectors_->roll_back();
  visible_ = committed_;
  changed_ = unseen_ = rearranged_ = uncommitted_merge_ = false;
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
  if (status && buffer_.bytes() > options_.buffer_bytes) status = flush();
  return status ? status : fail(status);
}

Status Writer::remove(const std::string& document_id) {
  WENQU_RETURN_IF_ERROR(ensure_started());
  const Status status = delete_document(document_id);
  return status ? status : fail(status);
}

Status Writer::delete_document(const std::string& document_id) {
  if (vectors_) vectors_->remove(document_id);
  if (buffer_.remove(document_id)) changed_ = unseen_ = true;
  if (live_.empty()) return {};
  Status status;
  WENQU_RETURN_IF_ERROR(call_lucene("deleting a document", [&] {
    const auto id = newLucene<Lucene::Term>(Lucene::String(kIdField), id_to_wide(document_id));
    for (Live& live : live_) {
      if (!live.open->may_hold(document_id)) continue;
      status = delete_from(live, id);
      if (!status) return;
    }
  }));
  return status;
}

Status Writer::delete_from(Live& live, const Lucene::TermPtr& id) {
  const auto docs = live.open->reader()->termDocs(id);
  while (docs->next()) {
    const int32_t doc = docs->doc();
    if (doc < 0 || doc >= live.open->size())
      return Status(StatusCode::corrupt, "a document lies outside of its segment", live.open->name());
    if (live.deletions && live.deletions->contains(static_cast<uint32_t>(doc))) continue;
    changed_deletions(live).add(static_cast<uint32_t>(doc));
    changed_ = unseen_ = true;
  }
  docs->close();
  return {};
}

// Snapshots and merges may share the bits, so a change begins with a copy.
Deletions& Writer::changed_deletions(Live& live) {
  if (!live.deletions_unwritten || !live.deletions) {
    live.deletions = std::make_shared<Deletions>(live.deletions ? *live.deletions
                                                                : Deletions(static_cast<uint32_t>(live.open->size())));
    live.deletions_unwritten = true;
    rearranged_ = true;
  }
  return *live.deletions;
}

Status Writer::write_passages(const Document& document) {
  changed_ = unseen_ = true;
  buffer_.begin_document(document, analyzer_.analyze_title(document.title));
  std::vector<Passage> passages = split_passages(document);
  // A video may have nothing but a title; it is found by that.
  if (passages.empty()) passages.emplace_back();
  for (const Passage& passage : passages) buffer_.add_passage(passage, analyzer_.analyze(passage.text));
  return vectors_ ? vectors_->add(document.id, document.title, passages) : Status();
}

// What was gathered in memory becomes a segment.
Status Writer::flush() {
  if (buffer_.size() == 0) return {};
  const Deletions deletions = buffer_.deletions();
  if (deletions.count() == buffer_.size()) {
    buffer_.clear();
    return {};
  }
  const std::string name = segment_name(next_name_++);
  WENQU_ASSIGN_OR_RETURN(auto output, SegmentOutput::create(*directory_, name, SegmentOutput::Shape::compound));
  WENQU_RETURN_IF_ERROR(buffer_.write(*output));
  WENQU_ASSIGN_OR_RETURN(Finished finished, open_finished(directory_, *output, buffer_.size()));
  for (const ManifestFile& entry : finished.entries) fresh_[entry.name] = entry;
  Live live{finished.info, finished.open, nullptr, false};
  if (deletions.count() > 0) {
    live.deletions = std::make_shared<Deletions>(deletions);
    live.deletions_unwritten = true;
  }
  live_.push_back(std::move(live));
  rearranged_ = true;
  buffer_.clear();
  return {};
}

void Writer::forget(const Live& live) {
  for (const auto& [name, file] : live.open->files()) {
    // Segments that Lucene++ wrote may share the file of their stored fields.
    const bool shared = std::any_of(live_.begin(), live_.end(), [&](const Live& other) {
      return other.open != live.open && other.open->files().contains(name);
    });
    if (shared) continue;
    fresh_.erase(name);
    directory_->remove(name);
  }
  const std::string deletions = deletions_name(live.info);
  if (deletions.empty()) return;
  fresh_.erase(deletions);
  directory_->remove(deletions);
}

void Writer::drop_empty_segments() {
  for (size_t i = 0; i < live_.size();) {
    if (live_[i].deleted() < static_cast<uint32_t>(live_[i].open->size())) {
      ++i;
      continue;
    }
    const Live empty = live_[i];
    live_.erase(live_.begin() + static_cast<ptrdiff_t>(i));
    forget(empty);
    rearranged_ = true;
  }
}

Status Writer::write_deletions() {
  for (Live& live : live_) {
    if (!live.deletions_unwritten) continue;
    if (const std::string before = deletions_name(live.info); !before.empty()) {
      fresh_.erase(before);
      directory_->remove(before);
    }
    live.info->advanceDelGen();
    live.info->setDelCount(static_cast<int32_t>(live.deletions->count()));
    const std::string content = live.deletions->encode();
    ManifestFile entry{from_wide(live.info->getDelFileName()), content.size(), crc32c(content)};
    WENQU_ASSIGN_OR_RETURN(const auto file, directory_->create(entry.name));
    WENQU_RETURN_IF_ERROR(file->write_at(0, content));
    fresh_[entry.name] = std::move(entry);
    live.deletions_unwritten = false;
  }
  return {};
}

// Its number comes from that of the segments, so that no name is given twice.
Status Writer::write_vocabulary() {
  if (!vocabulary_unwritten_) return {};
  if (!vocabulary_file_.empty()) {
    fresh_.erase(vocabulary_file_);
    directory_->remove(vocabulary_file_);
    vocabulary_file_.clear();
  }
  if (lexicon_->vocabulary() != Vocabulary()) {
    const std::string content = format_vocabulary(lexicon_->vocabulary());
    ManifestFile entry{std::string(kVocabularyPrefix) + segment_name(next_name_++).substr(1), content.size(), crc32c(content)};
    WENQU_ASSIGN_OR_RETURN(const auto file, directory_->create(entry.name));
    WENQU_RETURN_IF_ERROR(file->write_at(0, content));
    vocabulary_file_ = entry.name;
    fresh_[entry.name] = std::move(entry);
    rearranged_ = true;
  }
  vocabulary_unwritten_ = false;
  return {};
}

Status Writer::write_segments_file() {
  infos_->clear();
  for (const Live& live : live_) infos_->add(live.info);
  infos_->counter = next_name_;
  infos_->commit(Lucene::DirectoryPtr(directory_));
  directory_->remove(kHintFile);
  WENQU_RETURN_IF_ERROR(directory_->write_status());
  if (!segments_file_.empty()) {
    fresh_.erase(segments_file_);
    directory_->remove(segments_file_);
  }
  segments_file_ = from_wide(infos_->getCurrentSegmentFileName());
  WENQU_ASSIGN_OR_RETURN(fresh_[segments_file_], entry_of(*directory_, segments_file_));
  rearranged_ = false;
  return {};
}

// Everything there is goes into files.
Status Writer::write_all() {
  WENQU_RETURN_IF_ERROR(flush());
  Status status;
  WENQU_RETURN_IF_ERROR(call_lucene("writing the segments", [&] {
    drop_empty_segments();
    status = write_deletions();
    if (status) status = write_vocabulary();
    if (status && (rearranged_ || segments_file_.empty())) status = write_segments_file();
  }));
  return status;
}

Status Writer::make_last(const ManifestFile& entry) {
  if (lasting_.contains(entry.name)) return {};
  const std::shared_ptr<File> file = directory_->written(entry.name);
  if (!file)
    return Status(StatusCode::internal, "a file of the commit was not written by it", paths_.lucene + "/" + entry.name);
  WENQU_RETURN_IF_ERROR(file->sync());
  WENQU_RETURN_IF_ERROR(verify_file(*file, entry));
  return {};
}

// The files of what there is now, but for vectors.
Result<Manifest> Writer::describe(bool lasting) {
  Manifest manifest;
  const Manifest* before = committed_ ? &committed_->manifest() : nullptr;
  manifest.commit = (before ? before->commit : 0) + (lasting ? 1 : 0);
  std::map<std::string, ManifestFile> known;
  if (before)
    for (const ManifestFile& file : before->files) known.emplace(file.name, file);
  std::set<std::string> names;
  if (!segments_file_.empty()) names.insert(segments_file_);
  if (!vocabulary_file_.empty()) names.insert(vocabulary_file_);
  WENQU_RETURN_IF_ERROR(call_lucene("listing the commit", [&] {
    for (const Live& live : live_) {
      for (const auto& [name, file] : live.open->files()) names.insert(name);
      if (const std::string deletions = deletions_name(live.info); !deletions.empty()) names.insert(deletions);
    }
  }));
  for (const std::string& name : names) {
    if (const auto fresh = fresh_.find(name); fresh != fresh_.end()) {
      if (lasting) WENQU_RETURN_IF_ERROR(make_last(fresh->second));
      manifest.files.push_back(fresh->second);
    } else if (const auto found = known.find(name); found != known.end()) {
      manifest.files.push_back(found->second);
    } else {
      return Status(StatusCode::internal, "a file of the commit is not known", paths_.lucene + "/" + name);
    }
  }
  return manifest;
}

Result<std::shared_ptr<const Snapshot>> Writer::open_snapshot(const Manifest& manifest) {
  std::vector<std::shared_ptr<const OpenSegment>> opened;
  uint64_t expected = 0;
  for (const Live& live : live_) {
    opened.push_back(live.open);
    expected += static_cast<uint64_t>(live.open->size()) - live.deleted();
  }
  WENQU_ASSIGN_OR_RETURN(auto fresh, Snapshot::open(paths_, manifest, visible_.get(), opened));
  if (fresh->documents() + fresh->passages() != expected)
    return Status(StatusCode::internal, "the commit does not hold what was written", paths_.lucene);
  return fresh;
}

Status Writer::refresh() {
  WENQU_RETURN_IF_ERROR(ensure_started());
  if (!unseen_ || (!committed_ && buffer_.size() == 0 && live_.empty())) return {};
  Status status = write_all();
  if (status) {
    auto manifest = describe(false);
    status = manifest.status();
    if (manifest) {
      auto fresh = open_snapshot(*manifest);
      status = fresh.status();
      if (fresh) visible_ = std::move(*fresh);
    }
  }
  if (!status) return fail(status);
  unseen_ = false;
  return {};
}

Status Writer::commit() {
  if (!lost_) {
    const Status why = std::exchange(lost_, Status());
    stop();
    return Status(why.code(), "changes since the last commit were lost: " + why.message() + "; make them again",
                  why.where());
  }
  WENQU_RETURN_IF_ERROR(ensure_started());
  if (!changed_ && !uncommitted_merge_ && committed_) return {};
  Status status = write_all();
  if (status) status = publish();
  if (!status) {
    stop();
    return Status(status.code(),
                  status.message() + "; the commit before it stands, changes since then are dropped: "
                                     "make them again",
                  status.where());
  }
  return {};
}

Status Writer::commit_unasked() {
  if (!lost_) return {};   // that has to be told first
  Status status = commit();
  if (!status) lost_ = status;
  return status;
}

Status Writer::publish() {
  WENQU_ASSIGN_OR_RETURN(Manifest manifest, describe(true));
  if (vectors_)
    WENQU_RETURN_IF_ERROR(vectors_->write(manifest));
  else if (committed_)
    manifest.vectors = committed_->manifest().vectors;
  WENQU_RETURN_IF_ERROR(sync_directory(paths_.lucene));
  WENQU_ASSIGN_OR_RETURN(auto fresh, open_snapshot(manifest));
  WENQU_RETURN_IF_ERROR(lock_.check_still_there());
  WENQU_RETURN_IF_ERROR(write_manifest(paths_, manifest));
  for (const auto& [name, entry] : fresh_) directory_->release(name);
  fresh_.clear();
  lasting_.clear();
  committed_ = visible_ = std::move(fresh);
  if (vectors_) vectors_->committed();
  changed_ = unseen_ = uncommitted_merge_ = false;
  collect_garbage();
  return {};
}

std::unique_ptr<Writer::Merge> Writer::plan_merge(MergeWish wish) {
  if (!directory_) return nullptr;
  std::vector<SegmentSize> sizes;
  for (const Live& live : live_)
    sizes.push_back({live.open->bytes(), static_cast<uint32_t>(live.open->size()), live.deleted()});
  const auto choice = choose_merge(sizes, options_.merge_factor, wish);
  if (!choice) return nullptr;
  auto merge = std::make_unique<Merge>();
  for (size_t i = choice->begin; i < choice->end; ++i) {
    // What is deleted later must not change under the merge.
    std::shared_ptr<const Deletions> deletions;
    if (live_[i].deletions) deletions = std::make_shared<const Deletions>(*live_[i].deletions);
    merge->sources_.push_back({live_[i].open, std::move(deletions)});
  }
  merge->name_ = segment_name(next_name_++);
  merge->directory_ = directory_;
  return merge;
}

Status Writer::Merge::run(const CancelToken& cancel) {
  const uint32_t documents = surviving_documents(sources_);
  uint64_t bytes = 0;
  for (const MergeSource& source : sources_) bytes += source.segment->bytes();
  const auto shape = bytes > kMaxCompoundBytes ? SegmentOutput::Shape::files : SegmentOutput::Shape::compound;
  if (documents > 0) {
    WENQU_ASSIGN_OR_RETURN(auto output, SegmentOutput::create(*directory_, name_, shape));
    Status status = merge_segments(sources_, *output, cancel);
    // What lasts before the commit needs no time there.
    for (const std::string& name : output->files())
      if (const auto file = directory_->written(name); status && file) status = file->sync();
    if (status) {
      auto finished = open_finished(directory_, *output, documents);
      status = finished.status();
      // Searches will need it, and should not have to wait for it.
      if (finished) status = call_lucene("ordering the documents", [&] { (void)finished->open->id_places(); });
      if (status) {
        entries_ = std::move(finished->entries);
        info_ = std::move(finished->info);
        merged_ = std::move(finished->open);
      }
    }
    if (!status) {
      for (const std::string& name : output->files()) directory_->remove(name);
      return status;
    }
  }
  done_ = true;
  return {};
}

Status Writer::finish_merge(std::unique_ptr<Merge> merge) {
  const std::vector<MergeSource>& sources = merge->sources_;
  const auto begin = std::find_if(live_.begin(), live_.end(),
                                  [&](const Live& live) { return live.open == sources.front().segment; });
  bool fits = merge->done_ && merge->directory_ == directory_ &&
              static_cast<size_t>(live_.end() - begin) >= sources.size();
  for (size_t i = 0; fits && i < sources.size(); ++i)
    fits = begin[static_cast<ptrdiff_t>(i)].open == sources[i].segment;
  if (!fits) {
    for (const ManifestFile& entry : merge->entries_) merge->directory_->remove(entry.name);
    return {};
  }
  Live merged{merge->info_, merge->merged_, nullptr, false};
  uint32_t number = 0;
  std::vector<Live> replaced;
  for (size_t i = 0; i < sources.size(); ++i) {
    const Live& now = begin[static_cast<ptrdiff_t>(i)];
    for (uint32_t doc = 0; doc < static_cast<uint32_t>(now.open->size()); ++doc) {
      if (sources[i].deletions && sources[i].deletions->contains(doc)) continue;
      if (now.deletions && now.deletions->contains(doc) && merged.open) changed_deletions(merged).add(number);
      ++number;
    }
    replaced.push_back(now);
  }
  const auto place = live_.erase(begin, begin + static_cast<ptrdiff_t>(sources.size()));
  if (merged.open) live_.insert(place, std::move(merged));
  for (const ManifestFile& entry : merge->entries_) {
    fresh_[entry.name] = entry;
    lasting_.insert(entry.name);
  }
  WENQU_RETURN_IF_ERROR(call_lucene("dropping merged segments", [&] {
    for (const Live& live : replaced) forget(live);
  }));
  rearranged_ = true;
  uncommitted_merge_ = true;
  return changed_ || !committed_ || !lost_ ? Status() : commit();
}

void Writer::collect_garbage() {
  std::set<std::string> wanted;
  if (committed_) wanted = names_of(committed_->manifest());
  const auto previous = read_manifest(paths_.previous_manifest, Analyses::older_too);
  if (previous) wanted.merge(names_of(*previous));
  directory_->protect(wanted);
  // One that cannot be read today may be needed tomorrow.
  if (previous.status().code() == StatusCode::io_error) return;
  if (vectors_ || (committed_ && !committed_->manifest().vectors.empty()))
    collect_vector_garbage(paths_, committed_ ? &committed_->manifest() : nullptr, previous ? &*previous : nullptr);
  auto present = list_files(paths_.lucene);
  if (!present) return;  // garbage does no harm; the next commit tries again
  for (const std::string& name : *present)
    if (is_lucene_name(name) && !wanted.contains(name) && !directory_->holds(name))
      (void)remove_file(paths_.lucene + "/" + name).is_ok();
}

}  // namespace wenqu::retrieval
