#include "retrieval/index/writer.h"

#include <exception>
#include <new>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "retrieval/documents/passages.h"
#include "retrieval/index/index_folder.h"
#include "retrieval/index/open_commit.h"
#include "retrieval/index/vector_catch_up.h"
#include "retrieval/store/file.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {

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

void Writer::join_vectors() {
  if (vectors_ && vectors_->join_all()) changed_ = true;
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
  WENQU_RETURN_IF_ERROR(learn());
  WENQU_RETURN_IF_ERROR(segments_.open(committed_.get(), options_.analyse_again));
  if (options_.analyse_again) changed_ = true;
  collect_garbage(paths_, committed_ ? &committed_->manifest() : nullptr, vectors_ != nullptr, segments_.directory());
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
  if (!lost_) return lost_;
  if (segments_.is_open()) return {};
  WENQU_RETURN_IF_ERROR(start());
  if (!vectors_ || !committed_) return {};
  Status caught_up = catch_up(*committed_, *vectors_, changed_);
  if (!caught_up) stop();   // a commit of half of them would pass for one of all
  return caught_up;
}

void Writer::stop() {
  segments_.close();
  buffer_.clear();
  buffer_written_ = Status();
  if (vectors_) vectors_->roll_back();
  visible_ = committed_;
  changed_ = unseen_ = uncommitted_merge_ = false;
  changes_ = 0;
}

Status Writer::lose(const Status& why) {
  Status told = why;
  if (changes_ > 0) {
    const uint64_t commit = committed_ ? committed_->manifest().commit : 0;
    told = lost_ = Status(why.code(),
                          std::to_string(changes_) + " documents added or removed since commit " + std::to_string(commit) +
                              " were dropped: " + why.message() + "; open the index again and make these changes again",
                          why.where());
  }
  stop();
  return told;
}

Status Writer::keep(const Status& why) const {
  return Status(why.code(), why.message() + "; the commit before stands, and what was changed since is kept: commit again", why.where());
}

// Of two errors the files are the matter, not the moment.
Status Writer::lose_or_keep(const Status& why) {
  return why.code() == StatusCode::corrupt || why.code() == StatusCode::internal ? lose(why) : keep(why);
}

// Whatever is thrown in the middle of a change leaves it half made.
template <typename Call>
Status Writer::change(Call&& make) {
  try {
    return make();
  } catch (const std::bad_alloc&) {
    return lose(Status(StatusCode::out_of_memory, "not enough memory", paths_.directory));
  } catch (const std::exception& error) {
    return lose(Status(StatusCode::internal, error.what(), paths_.directory));
  }
}

Status Writer::add(const Document& document) {
  WENQU_RETURN_IF_ERROR(ensure_started());
  return change([&]() -> Status {
    // Before the document, not after it: the one that cannot be written is then none of those that were accepted.
    if (buffer_.bytes() > options_.buffer_bytes) WENQU_RETURN_IF_ERROR(make_room());
    return replace_document(document);
  });
}

// A full disk is not written to again for each document that is added.
Status Writer::make_room() {
  if (!buffer_written_ && free_bytes(paths_.lucene) < buffer_.stored_bytes()) return buffer_written_;
  return write_buffer();
}

Status Writer::write_buffer() {
  buffer_written_ = segments_.add(buffer_);
  return buffer_written_;
}

Status Writer::remove(const std::string& document_id) {
  WENQU_RETURN_IF_ERROR(ensure_started());
  return change([&]() -> Status {
    WENQU_ASSIGN_OR_RETURN(const auto places, segments_.find(document_id));
    delete_document(document_id, places);
    return {};
  });
}

void Writer::delete_document(const std::string& document_id, const std::vector<SegmentList::Place>& places) {
  if (vectors_) vectors_->remove(document_id);
  const bool was_gathered = buffer_.remove(document_id);
  segments_.remove(places);
  if (!was_gathered && places.empty()) return;
  changed_ = unseen_ = true;
  ++changes_;
}

// All that can fail comes before anything is changed.
Status Writer::replace_document(const Document& document) {
  std::vector<Passage> passages = split_passages(document);
  // A video may have nothing but a title; it is found by that.
  if (passages.empty()) passages.emplace_back();
  WENQU_ASSIGN_OR_RETURN(const auto places, segments_.find(document.id));
  if (vectors_) WENQU_RETURN_IF_ERROR(vectors_->add(document.id, document.title, passages));
  buffer_.remove(document.id);
  segments_.remove(places);
  changed_ = unseen_ = true;
  buffer_.begin_document(document, analyzer_.analyze_title(document.title, document.author));
  for (const Passage& passage : passages) buffer_.add_passage(passage, analyzer_.analyze(passage.text));
  ++changes_;
  return {};
}

Status Writer::write_vocabulary() {
  if (!vocabulary_unwritten_) return {};
  if (!vocabulary_file_.empty()) segments_.drop_file(std::exchange(vocabulary_file_, {}));
  if (lexicon_->vocabulary() != Vocabulary()) {
    WENQU_ASSIGN_OR_RETURN(vocabulary_file_, segments_.add_file(kVocabularyPrefix, format_vocabulary(lexicon_->vocabulary())));
  }
  vocabulary_unwritten_ = false;
  return {};
}

// Everything there is goes into files.
Status Writer::write_all() {
  WENQU_RETURN_IF_ERROR(write_buffer());
  WENQU_RETURN_IF_ERROR(write_vocabulary());
  return segments_.write();
}

// The files of what there is now, but for vectors.
Result<Manifest> Writer::describe(bool lasting) {
  Manifest manifest;
  const Manifest* before = committed_ ? &committed_->manifest() : nullptr;
  manifest.commit = (before ? before->commit : 0) + (lasting ? 1 : 0);
  std::set<std::string> others;
  if (!vocabulary_file_.empty()) others.insert(vocabulary_file_);
  WENQU_ASSIGN_OR_RETURN(manifest.files, segments_.describe(before, others, lasting));
  return manifest;
}

Result<std::shared_ptr<const Snapshot>> Writer::open_snapshot(const Manifest& manifest) {
  WENQU_ASSIGN_OR_RETURN(auto fresh, Snapshot::open(paths_, manifest, visible_.get(), segments_.opened()));
  if (fresh->documents() + fresh->passages() != segments_.surviving_documents())
    return Status(StatusCode::internal, "the commit does not hold what was written", paths_.lucene);
  return fresh;
}

Status Writer::refresh() {
  WENQU_RETURN_IF_ERROR(ensure_started());
  if (!unseen_ || (!committed_ && buffer_.size() == 0 && segments_.empty())) return {};
  return change([&]() -> Status {
    const Status shown = show();
    return shown ? shown : lose_or_keep(shown);
  });
}

Status Writer::show() {
  WENQU_RETURN_IF_ERROR(write_all());
  WENQU_ASSIGN_OR_RETURN(const Manifest manifest, describe(false));
  WENQU_ASSIGN_OR_RETURN(visible_, open_snapshot(manifest));
  unseen_ = false;
  return {};
}

Status Writer::commit() {
  WENQU_RETURN_IF_ERROR(ensure_started());
  if (!changed_ && !uncommitted_merge_ && committed_) return {};
  return change([&]() -> Status {
    if (const Status written = write_all(); !written) return lose_or_keep(written);
    Result<Manifest> manifest = describe(true);
    if (!manifest) return lose_or_keep(manifest.status());
    if (const Status written = write_vectors(*manifest); !written) return keep(written);
    const Status published = publish(*manifest);
    return published ? published : lose_or_keep(published);
  });
}

Status Writer::write_vectors(Manifest& manifest) {
  if (vectors_) return vectors_->write(manifest);
  if (committed_) manifest.vectors = committed_->manifest().vectors;
  return {};
}

Status Writer::publish(const Manifest& manifest) {
  WENQU_RETURN_IF_ERROR(sync_directory(paths_.lucene));
  WENQU_ASSIGN_OR_RETURN(auto fresh, open_snapshot(manifest));
  WENQU_RETURN_IF_ERROR(lock_.check_still_there());
  // One that fails may yet be brought to the front by a power cut: what it names stays until a later one lasts.
  segments_.directory().protect_too(manifest);
  if (vectors_) vectors_->keep_written();
  WENQU_RETURN_IF_ERROR(write_manifest(paths_, manifest));
  segments_.committed();
  committed_ = visible_ = std::move(fresh);
  if (vectors_) vectors_->committed();
  changed_ = unseen_ = uncommitted_merge_ = false;
  changes_ = 0;
  collect_garbage(paths_, &committed_->manifest(), vectors_ != nullptr, segments_.directory());
  return {};
}

std::unique_ptr<MergeJob> Writer::plan_merge(MergeWish wish) {
  return segments_.is_open() ? segments_.plan_merge(wish, options_.merge_factor) : nullptr;
}

Status Writer::finish_merge(std::unique_ptr<MergeJob> merge) {
  WENQU_ASSIGN_OR_RETURN(const bool fitted, segments_.finish_merge(*merge));
  if (!fitted) return {};
  uncommitted_merge_ = true;
  return changed_ || !committed_ ? Status() : commit();
}

}  // namespace wenqu::retrieval
