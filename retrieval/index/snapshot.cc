#include "retrieval/index/snapshot.h"

#include <lucene++/Document.h>
#include <lucene++/FieldSelector.h>
#include <lucene++/MultiReader.h>
#include <lucene++/SegmentInfo.h>
#include <lucene++/SegmentInfos.h>
#include <lucene++/SegmentReader.h>
#include <lucene++/Term.h>
#include <lucene++/TermDocs.h>

#include <algorithm>
#include <set>

#include "base/utf8.h"
#include "retrieval/index/open_segment.h"
#include "retrieval/index/record.h"
#include "retrieval/index/length_code.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

Result<std::shared_ptr<const CommittedFile>> open_verified(const IndexPaths& paths,
                                                           const ManifestFile& entry) {
  WENQU_ASSIGN_OR_RETURN(File file, File::open(paths.lucene + "/" + entry.name));
  WENQU_RETURN_IF_ERROR(verify_file(file, entry));
  return std::shared_ptr<const CommittedFile>(
      std::make_shared<CommittedFile>(CommittedFile{std::move(file), entry}));
}

// The file, if one of the segments has it open.
std::shared_ptr<const CommittedFile> known_file(const std::vector<std::shared_ptr<const OpenSegment>>& opened,
                                                const ManifestFile& entry) {
  for (const auto& segment : opened) {
    const auto found = segment->files().find(entry.name);
    if (found != segment->files().end() && found->second->entry == entry) return found->second;
  }
  return nullptr;
}

// Loads the one stored field that is wanted.
class OneField : public Lucene::FieldSelector {
 public:
  explicit OneField(const wchar_t* name) : name_(name) {}
  FieldSelectorResult accept(const Lucene::String& field) override {
    return field == name_ ? SELECTOR_LOAD_AND_BREAK : SELECTOR_NO_LOAD;
  }

 private:
  const wchar_t* name_;
};

// Empty for a field that may be absent and is.
Result<std::string> stored_bytes(const Lucene::IndexReaderPtr& reader, int32_t doc, const wchar_t* field,
                                 bool may_be_absent = false) {
  std::string bytes;
  bool found = false;
  WENQU_RETURN_IF_ERROR(call_lucene("reading a stored document", [&] {
    const Lucene::DocumentPtr document = reader->document(doc, newLucene<OneField>(field));
    const Lucene::ByteArray value = document ? document->getBinaryValue(field) : Lucene::ByteArray();
    if (!value) return;
    found = true;
    bytes.assign(reinterpret_cast<const char*>(value.get()), static_cast<size_t>(value.size()));
  }));
  if (!found && !may_be_absent) return Status(StatusCode::corrupt, "a stored document lacks its content");
  return bytes;
}

}  // namespace

Result<std::shared_ptr<const Snapshot>> Snapshot::open(const IndexPaths& paths, const Manifest& manifest,
                                                       const Snapshot* earlier,
                                                       const std::vector<std::shared_ptr<const OpenSegment>>& opened) {
  warm_up_lucene();
  std::shared_ptr<Snapshot> snapshot(new Snapshot);
  snapshot->manifest_ = manifest;
  for (const ManifestFile& entry : manifest.files) {
    if (earlier) {
      const auto known = earlier->files_.find(entry.name);
      if (known != earlier->files_.end() && known->second->entry == entry) {
        snapshot->files_.emplace(entry.name, known->second);
        continue;
      }
    }
    if (auto known = known_file(opened, entry)) {
      snapshot->files_.emplace(entry.name, std::move(known));
      continue;
    }
    WENQU_ASSIGN_OR_RETURN(auto file, open_verified(paths, entry));
    snapshot->files_.emplace(entry.name, std::move(file));
  }
  Status loaded = snapshot->load_lexicon(earlier);
  if (!loaded) return loaded.at(paths.lucene);
  const Status called = call_lucene("opening the index", [&] {
    loaded = snapshot->load_segments(earlier, opened);
    if (loaded) snapshot->number_segments(earlier);
  });
  if (!called) return called.at(paths.lucene);
  if (!loaded) return loaded.at(paths.lucene);
  return std::shared_ptr<const Snapshot>(std::move(snapshot));
}

Status Snapshot::verify(const std::string& file) const {
  const auto found = files_.find(file);
  return found == files_.end() ? Status() : verify_file(found->second->file, found->second->entry);
}

Status Snapshot::scrub(const CancelToken& cancel) const {
  for (const auto& part : parts_) WENQU_RETURN_IF_ERROR(part->scrub(cancel));
  for (const auto& [name, committed] : files_) {
    WENQU_RETURN_IF_ERROR(cancel.status());
    committed->file.drop_cache();
    WENQU_RETURN_IF_ERROR(verify_file(committed->file, committed->entry));
  }
  return {};
}

Snapshot::~Snapshot() {
  if (reader_) (void)call_lucene("closing the index", [&] { reader_->close(); }).is_ok();
}

Status Snapshot::load_lexicon(const Snapshot* earlier) {
  for (const auto& [name, committed] : files_) {
    if (!name.starts_with(kVocabularyPrefix)) continue;
    vocabulary_file_ = name;
    if (earlier && earlier->vocabulary_file_ == name && earlier->files_.at(name) == committed) {
      lexicon_ = earlier->lexicon_;
      return {};
    }
    if (committed->entry.bytes > 4 * kMaxVocabularyBytes) return Status(StatusCode::corrupt, "the words of the index are too many", name);
    std::string text(static_cast<size_t>(committed->entry.bytes), '\0');
    WENQU_RETURN_IF_ERROR(committed->file.read_at(0, text.data(), text.size()));
    auto vocabulary = parse_vocabulary(text);
    if (!vocabulary) return vocabulary.status().at(name);
    WENQU_ASSIGN_OR_RETURN(lexicon_, Lexicon::create(std::move(*vocabulary)));
    return {};
  }
  return {};
}

// Whoever asks several at once asks all of them alike.
Status Snapshot::join_lexicons() {
  if (parts_.empty()) return {};
  lexicon_ = parts_.front()->lexicon_;
  Vocabulary all = lexicon_->vocabulary();
  for (const auto& part : parts_) {
    const Vocabulary& other = part->lexicon_->vocabulary();
    if (!same_terms(all, other))
      return Status(StatusCode::version_mismatch,
                    "the indexes were made with different words, or only some of them with pinyin, so they cannot be searched together: "
                    "`wenqu migrate --words FILE DIR` gives an index other words");
    if (other.synonyms == lexicon_->vocabulary().synonyms) continue;
    for (const SynonymRule& rule : other.synonyms)
      if (all.synonyms.size() < kMaxSynonymRules) all.synonyms.push_back(rule);
  }
  if (all.synonyms == lexicon_->vocabulary().synonyms) return {};
  WENQU_ASSIGN_OR_RETURN(lexicon_, Lexicon::create(std::move(all)));
  return {};
}

Status Snapshot::load_segments(const Snapshot* earlier,
                               const std::vector<std::shared_ptr<const OpenSegment>>& opened) {
  const auto infos = newLucene<Lucene::SegmentInfos>();
  infos->read(Lucene::DirectoryPtr(newLucene<CommitDirectory>(files_)));
  for (int32_t i = 0; i < infos->size(); ++i) {
    Segment segment;
    WENQU_RETURN_IF_ERROR(load_segment(infos->info(i), earlier, opened, segment));
    segments_.push_back(std::move(segment));
  }
  join_segments();
  return {};
}

// What the segments are together.
void Snapshot::join_segments() {
  auto readers = Lucene::Collection<Lucene::IndexReaderPtr>::newInstance();
  int32_t base = 0;
  for (Segment& segment : segments_) {
    segment.base = base;
    base += segment.size;
    documents_ += segment.counts.documents;
    passages_ += segment.counts.passages;
    load_kinds(segment);
    readers.add(segment.reader);
  }
  reader_ = newLucene<Lucene::MultiReader>(readers, false);
  load_average_lengths();
}

Result<std::shared_ptr<const Snapshot>> Snapshot::combine(std::vector<std::shared_ptr<const Snapshot>> parts,
                                                          const std::vector<std::string>& names,
                                                          const Snapshot* earlier) {
  warm_up_lucene();
  std::shared_ptr<Snapshot> whole(new Snapshot);
  int64_t documents = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    whole->manifest_.commit += parts[i]->manifest_.commit;
    for (Segment segment : parts[i]->segments_) {
      documents += segment.size;
      segment.collection = names[i];
      segment.number = 0;   // of the cache of its own snapshot
      whole->segments_.push_back(std::move(segment));
    }
  }
  if (documents > INT32_MAX)
    return Status(StatusCode::limit_exceeded, "the collections are too large to be searched together");
  whole->parts_ = std::move(parts);
  WENQU_RETURN_IF_ERROR(whole->join_lexicons());
  WENQU_RETURN_IF_ERROR(call_lucene("combining collections", [&] {
    whole->join_segments();
    whole->number_segments(earlier);
  }));
  return std::shared_ptr<const Snapshot>(std::move(whole));
}

const std::string& Snapshot::collection_of(int32_t doc) const {
  static const auto& none = *new const std::string;   // never destroyed: a host may exit while searches run
  const auto after = std::upper_bound(segments_.begin(), segments_.end(), doc,
                                      [](int32_t place, const Segment& segment) { return place < segment.base; });
  return after == segments_.begin() ? none : std::prev(after)->collection;
}

Status Snapshot::load_segment(const Lucene::SegmentInfoPtr& info, const Snapshot* earlier,
                              const std::vector<std::shared_ptr<const OpenSegment>>& opened, Segment& segment) {
  const CommittedFiles files = segment_files(info, files_);
  const Segment* before = nullptr;
  if (earlier)
    for (const Segment& other : earlier->segments_)
      if (other.open->files() == files && other.size == info->docCount) before = &other;
  if (before) segment.open = before->open;
  const std::string name = from_wide(info->name);
  for (const auto& other : opened)
    if (!segment.open && other->name() == name && other->size() == info->docCount && other->files() == files)
      segment.open = other;
  if (!segment.open) {
    WENQU_ASSIGN_OR_RETURN(segment.open, OpenSegment::open(info, files));
  }
  segment.size = segment.open->size();
  segment.lengths = segment.open->lengths();
  segment.reader = segment.open->reader();
  const std::string deletions = deletions_name(info);
  if (deletions.empty()) {
    segment.counts = segment.open->counts(nullptr);
    return {};
  }
  const auto file = files_.find(deletions);
  if (file == files_.end()) return Status(StatusCode::corrupt, "the deletions of a segment are gone", deletions);
  segment.deletions_file = file->second;
  if (before && before->deletions_file == segment.deletions_file) {
    segment.deletions = before->deletions;
    segment.counts = before->counts;
    segment.reader = before->reader;
    return {};
  }
  const std::shared_ptr<const File> bits(file->second, &file->second->file);
  WENQU_ASSIGN_OR_RETURN(Deletions decoded, Deletions::decode(ByteSource(bits, 0, file->second->entry.bytes),
                                                              static_cast<uint32_t>(segment.size)));
  segment.deletions = std::make_shared<const Deletions>(std::move(decoded));
  segment.counts = segment.open->counts(segment.deletions.get());
  segment.reader = segment.open->reader_without(info, deletions, file->second);
  return {};
}

// A segment that stood in the earlier commit too keeps its number, and what the cache knows of it.
void Snapshot::number_segments(const Snapshot* earlier) {
  postings_ = earlier ? earlier->postings_ : std::make_shared<PostingsCache>();
  std::set<uint64_t> numbers;
  for (Segment& segment : segments_) {
    if (earlier)
      for (const Segment& before : earlier->segments_)
        if (before.open == segment.open) segment.number = before.number;
    if (segment.number == 0) segment.number = postings_->new_segment();
    numbers.insert(segment.number);
  }
  // The earlier one may be in use still.
  if (earlier)
    for (const Segment& before : earlier->segments_) numbers.insert(before.number);
  postings_->keep(numbers);
}

void Snapshot::load_kinds(const Segment& segment) {
  const size_t begin = kinds_.size();
  kinds_.insert(kinds_.end(), segment.open->kinds().begin(), segment.open->kinds().end());
  if (!segment.deletions) return;
  const std::vector<uint8_t>& bytes = segment.deletions->bytes();
  for (uint32_t i = 0; i < bytes.size(); ++i)
    for (uint32_t doc = 8 * i; bytes[i] != 0 && doc < 8 * i + 8; ++doc)
      if (segment.deletions->contains(doc)) kinds_[begin + doc] = kDeleted;
}

void Snapshot::load_average_lengths() {
  for (size_t field = 0; field < kTermFields; ++field) {
    double total = 0;
    uint64_t holders = 0;
    for (size_t code = 0; code < 256; ++code) {
      if (code == kFieldAbsent) continue;
      uint64_t count = 0;
      for (const Segment& segment : segments_)
        if (segment.lengths[field]) count += segment.counts.lengths[field][code];
      total += static_cast<double>(count) * decode_length(static_cast<uint8_t>(code));
      holders += count;
    }
    average_lengths_[field] = holders == 0 ? 1 : total / static_cast<double>(holders);
  }
}

uint64_t Snapshot::bytes() const {
  uint64_t sum = 0;
  for (const auto& part : parts_) sum += part->bytes();
  for (const ManifestFile& file : manifest_.files) sum += file.bytes;
  for (const ManifestFile& file : manifest_.vectors) sum += file.bytes;
  return sum;
}

Result<uint64_t> Snapshot::holders(TermField field, const std::wstring& term) const {
  uint64_t count = 0;
  WENQU_RETURN_IF_ERROR(call_lucene("looking up a term", [&] {
    for (const Segment& segment : segments_) count += postings(segment).holders(field, term);
  }));
  return count;
}

int32_t Snapshot::record_of(int32_t doc) const {
  while (doc > 0 && kinds_[static_cast<size_t>(doc)] != kRecord) --doc;
  return doc;
}

Status Snapshot::keep_first_by_id(std::vector<int32_t>& docs, size_t wanted) const {
  std::sort(docs.begin(), docs.end());
  // In each segment the order is known; between segments the ids are compared, of as few as need be.
  struct Run {
    std::vector<int32_t> docs;
    size_t next = 0;
    std::string id;   // of the next
  };
  std::vector<Run> runs;
  const auto read_id = [&](Run& run) -> Status {
    if (run.next == run.docs.size()) return {};
    WENQU_ASSIGN_OR_RETURN(Document document, read_document(record_of(run.docs[run.next]), false));
    run.id = std::move(document.id);
    return {};
  };
  auto begin = docs.begin();
  for (const Segment& segment : segments_) {
    const auto end = std::lower_bound(begin, docs.end(), segment.base + segment.size);
    if (begin == end) continue;
    Run run{{begin, end}, 0, {}};
    begin = end;
    const std::vector<int32_t>* places = nullptr;
    WENQU_RETURN_IF_ERROR(call_lucene("ordering the documents", [&] { places = &segment.open->id_places(); }));
    const auto keeps = run.docs.begin() + static_cast<ptrdiff_t>(std::min(wanted, run.docs.size()));
    std::partial_sort(run.docs.begin(), keeps, run.docs.end(), [&](int32_t a, int32_t b) {
      const int32_t place_a = (*places)[static_cast<size_t>(a - segment.base)];
      const int32_t place_b = (*places)[static_cast<size_t>(b - segment.base)];
      return place_a != place_b ? place_a < place_b : a < b;
    });
    run.docs.erase(keeps, run.docs.end());
    runs.push_back(std::move(run));
  }
  if (runs.size() <= 1) {
    docs = runs.empty() ? std::vector<int32_t>() : std::move(runs.front().docs);
    return {};
  }
  for (Run& run : runs) WENQU_RETURN_IF_ERROR(read_id(run));
  docs.clear();
  while (docs.size() < wanted) {
    Run* first = nullptr;
    for (Run& run : runs)
      if (run.next < run.docs.size() && (!first || run.id < first->id)) first = &run;
    if (!first) break;
    docs.push_back(first->docs[first->next++]);
    WENQU_RETURN_IF_ERROR(read_id(*first));
  }
  return {};
}

Result<int32_t> Snapshot::find(const std::string& document_id) const {
  int32_t found = -1;
  WENQU_RETURN_IF_ERROR(call_lucene("looking up a document", [&] {
    const auto docs = reader_->termDocs(
        newLucene<Lucene::Term>(Lucene::String(kIdField), id_to_wide(document_id)));
    if (docs->next()) found = docs->doc();  // the record is the first of its run
    docs->close();
  }));
  if (found < 0) return Status(StatusCode::not_found, "no document has this id", document_id);
  if (static_cast<size_t>(found) >= kinds_.size() || kinds_[static_cast<size_t>(found)] != kRecord)
    return Status(StatusCode::corrupt, "a document lacks its record", document_id);
  return found;
}

Result<Document> Snapshot::read_document(int32_t doc, bool with_text) const {
  WENQU_ASSIGN_OR_RETURN(const std::string properties, stored_bytes(reader_, doc, kPropertiesField));
  WENQU_ASSIGN_OR_RETURN(Document document, decode_properties(properties));
  if (with_text) {
    WENQU_ASSIGN_OR_RETURN(document.text, stored_bytes(reader_, doc, kTextField));
    WENQU_ASSIGN_OR_RETURN(const std::string marks, stored_bytes(reader_, doc, kMarksField, /*may_be_absent=*/true));
    if (!marks.empty()) WENQU_RETURN_IF_ERROR(decode_marks(marks, document));
    if (!document.passages.empty() && document.passages.back().end > utf8_length(document.text))
      return Status(StatusCode::corrupt, "a passage lies outside of its document's text", document.id);
  }
  return document;
}

Result<Passage> Snapshot::read_passage(int32_t doc) const {
  WENQU_ASSIGN_OR_RETURN(const std::string bytes, stored_bytes(reader_, doc, kPassageField));
  return decode_passage(bytes);
}

}  // namespace wenqu::retrieval
