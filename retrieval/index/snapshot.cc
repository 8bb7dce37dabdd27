#include "retrieval/index/snapshot.h"

#include <lucene++/FieldSelector.h>

#include "base/utf8.h"
#include "retrieval/index/passage_fields.h"
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

Result<std::string> stored_bytes(const Lucene::IndexReaderPtr& reader, int32_t doc, const wchar_t* field) {
  std::string bytes;
  bool found = false;
  WENQU_RETURN_IF_ERROR(call_lucene("reading a stored document", [&] {
    const Lucene::DocumentPtr document = reader->document(doc, newLucene<OneField>(field));
    const Lucene::ByteArray value = document ? document->getBinaryValue(field) : Lucene::ByteArray();
    if (!value) return;
    found = true;
    bytes.assign(reinterpret_cast<const char*>(value.get()), static_cast<size_t>(value.size()));
  }));
  if (!found) return Status(StatusCode::corrupt, "a stored document lacks its content");
  return bytes;
}

}  // namespace

Result<std::shared_ptr<const Snapshot>> Snapshot::open(const IndexPaths& paths, const Manifest& manifest,
                                                       const Snapshot* earlier) {
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
    WENQU_ASSIGN_OR_RETURN(auto file, open_verified(paths, entry));
    snapshot->files_.emplace(entry.name, std::move(file));
  }
  const Status loaded = call_lucene("opening the index", [&] {
    const Lucene::DirectoryPtr directory = newLucene<CommitDirectory>(snapshot->files_);
    snapshot->reader_ = Lucene::IndexReader::open(directory, true);
    snapshot->load_segments();
  });
  if (!loaded) {
    // Closing a reader whose norms failed to load crashes Lucene++ 3.0.8; its files close with it anyway.
    snapshot->segments_.clear();
    snapshot->reader_.reset();
    return loaded.at(paths.lucene);
  }
  return std::shared_ptr<const Snapshot>(std::move(snapshot));
}

Status Snapshot::verify(const std::string& file) const {
  const auto found = files_.find(file);
  return found == files_.end() ? Status() : verify_file(found->second->file, found->second->entry);
}

Status Snapshot::scrub(const CancelToken& cancel) const {
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

void Snapshot::load_segments() {
  kinds_.assign(static_cast<size_t>(reader_->maxDoc()), kDeleted);
  auto readers = reader_->getSequentialSubReaders();
  int32_t base = 0;
  for (int32_t i = 0; i < readers.size(); ++i) {
    Segment segment;
    segment.reader = readers[i];
    segment.base = base;
    segment.size = readers[i]->maxDoc();
    base += segment.size;
    for (size_t field = 0; field < kTermFields; ++field)
      segment.lengths[field] = readers[i]->norms(kTermFieldNames[field]);
    load_kinds(segment);
    segments_.push_back(std::move(segment));
  }
  load_average_lengths();
}

void Snapshot::load_kinds(const Segment& segment) {
  constexpr int kSources = static_cast<int>(Source::file) + 1;
  for (int kind = 0; kind <= kSources; ++kind) {
    const bool is_record = kind == kSources;
    const Lucene::String value = is_record ? kRecordKind : kind_of_source(static_cast<Source>(kind));
    const auto docs = segment.reader->termDocs(newLucene<Lucene::Term>(Lucene::String(kKindField), value));
    uint64_t& count = is_record ? documents_ : passages_;
    for (; docs->next(); ++count)
      kinds_.at(static_cast<size_t>(segment.base + docs->doc())) =
          is_record ? static_cast<uint8_t>(kRecord) : static_cast<uint8_t>(kind);
    docs->close();
  }
}

void Snapshot::load_average_lengths() {
  for (size_t field = 0; field < kTermFields; ++field) {
    std::array<uint64_t, 256> counts{};
    for (const Segment& segment : segments_) {
      if (!segment.lengths[field]) continue;
      const uint8_t* codes = segment.lengths[field].get();
      for (int32_t doc = 0; doc < segment.size; ++doc)
        if (kinds_[static_cast<size_t>(segment.base + doc)] < kRecord) ++counts[codes[doc]];
    }
    double total = 0;
    uint64_t holders = 0;
    for (size_t code = 0; code < counts.size(); ++code) {
      if (code == kFieldAbsent) continue;
      total += static_cast<double>(counts[code]) * decode_length(static_cast<uint8_t>(code));
      holders += counts[code];
    }
    average_lengths_[field] = holders == 0 ? 1 : total / static_cast<double>(holders);
  }
}

uint64_t Snapshot::bytes() const {
  uint64_t sum = 0;
  for (const ManifestFile& file : manifest_.files) sum += file.bytes;
  return sum;
}

Result<uint64_t> Snapshot::holders(TermField field, const std::wstring& term) const {
  uint64_t count = 0;
  WENQU_RETURN_IF_ERROR(call_lucene("looking up a term", [&] {
    const auto key = newLucene<Lucene::Term>(Lucene::String(kTermFieldNames[static_cast<size_t>(field)]), term);
    for (const Segment& segment : segments_) count += static_cast<uint64_t>(segment.reader->docFreq(key));
  }));
  return count;
}

int32_t Snapshot::record_of(int32_t doc) const {
  while (doc > 0 && kinds_[static_cast<size_t>(doc)] != kRecord) --doc;
  return doc;
}

Result<const std::vector<int32_t>*> Snapshot::id_order() const {
  const std::lock_guard lock(order_mutex_);
  if (id_order_.empty() && !kinds_.empty()) {
    std::vector<int32_t> order(kinds_.size(), 0);
    WENQU_RETURN_IF_ERROR(call_lucene("ordering the documents", [&] {
      const auto terms = reader_->terms(newLucene<Lucene::Term>(Lucene::String(kIdField), Lucene::String()));
      const auto docs = reader_->termDocs();
      for (int32_t place = 0; terms->term() && terms->term()->field() == kIdField; ++place) {
        docs->seek(terms->term());
        while (docs->next()) order.at(static_cast<size_t>(docs->doc())) = place;
        if (!terms->next()) break;
      }
    }));
    id_order_ = std::move(order);
  }
  return &id_order_;
}

Result<int32_t> Snapshot::find(const std::string& document_id) const {
  int32_t found = -1;
  WENQU_RETURN_IF_ERROR(call_lucene("looking up a document", [&] {
    const auto docs = reader_->termDocs(id_term(document_id));
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
  }
  return document;
}

Result<Passage> Snapshot::read_passage(int32_t doc) const {
  WENQU_ASSIGN_OR_RETURN(const std::string bytes, stored_bytes(reader_, doc, kPassageField));
  return decode_passage(bytes);
}

}  // namespace wenqu::retrieval
