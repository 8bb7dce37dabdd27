#include "retrieval/index/open_segment.h"

#include <lucene++/SegmentInfo.h>
#include <lucene++/SegmentReader.h>
#include <lucene++/Term.h>
#include <lucene++/TermDocs.h>
#include <lucene++/TermEnum.h>

#include "retrieval/document.h"
#include "retrieval/index/length_code.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

using Lucene::newLucene;

constexpr int32_t kReadBuffer = 4096;

// Making the sketch of the ids costs as much as so many look-ups, or less where there are few ids.
constexpr uint32_t kAskedBeforeSketch = 256;

struct SketchPlace {
  size_t word = 0;
  uint64_t bits = 0;
};

SketchPlace sketch_place(std::wstring_view id_term, size_t words) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (const wchar_t c : id_term) hash = (hash ^ static_cast<uint64_t>(c)) * 0x100000001B3u;
  hash ^= hash >> 29;
  hash *= 0xBF58476D1CE4E5B9u;
  hash ^= hash >> 32;
  SketchPlace place{static_cast<size_t>((hash >> 24) % words), 0};
  for (int i = 0; i < 4; ++i) place.bits |= uint64_t{1} << (hash >> 6 * i & 63);
  return place;
}

// The segment as if nothing of it were deleted.
Lucene::SegmentInfoPtr without_deletions(const Lucene::SegmentInfoPtr& info, const Lucene::DirectoryPtr& directory) {
  const auto whole = boost::dynamic_pointer_cast<Lucene::SegmentInfo>(info->clone());
  whole->dir = directory;
  whole->clearDelGen();
  whole->setDelCount(0);
  return whole;
}

}  // namespace

std::wstring kind_of_source(Source source) { return std::to_wstring(static_cast<int>(source)); }

std::string deletions_name(const Lucene::SegmentInfoPtr& info) {
  return info->hasDeletions() ? from_wide(info->getDelFileName()) : std::string();
}

CommittedFiles segment_files(const Lucene::SegmentInfoPtr& info, const CommittedFiles& all) {
  const Lucene::SegmentInfoPtr whole =
      without_deletions(info, newLucene<CommitDirectory>(all));
  CommittedFiles files;
  auto names = whole->files();
  for (auto name = names.begin(); name != names.end(); ++name) {
    const auto found = all.find(from_wide(*name));
    if (found == all.end()) boost::throw_exception(Lucene::FileNotFoundException(*name));
    files.insert(*found);
  }
  return files;
}

Result<std::shared_ptr<const OpenSegment>> OpenSegment::open(const Lucene::SegmentInfoPtr& info,
                                                             CommittedFiles files) {
  std::shared_ptr<OpenSegment> segment(new OpenSegment);
  segment->files_ = std::move(files);
  const Status loaded = call_lucene("opening a segment", [&] { segment->load(info); });
  if (!loaded) {
    // Closing a reader whose norms failed to load crashes Lucene++ 3.0.8; its files close with it anyway.
    segment->reader_.reset();
    return loaded;
  }
  return std::shared_ptr<const OpenSegment>(std::move(segment));
}

OpenSegment::~OpenSegment() {
  if (reader_) (void)call_lucene("closing a segment", [&] { reader_->close(); }).is_ok();
}

void OpenSegment::load(const Lucene::SegmentInfoPtr& info) {
  name_ = from_wide(info->name);
  size_ = info->docCount;
  const bool shares_store = info->getDocStoreOffset() != -1;
  const std::string store = from_wide(shares_store ? info->getDocStoreSegment() : info->name);
  store_name_ = store;
  store_offset_ = shares_store ? info->getDocStoreOffset() : 0;
  directory_ = newLucene<CommitDirectory>(files_);
  reader_ = Lucene::SegmentReader::get(true, directory_, without_deletions(info, directory_), kReadBuffer, true, 1);
  if (reader_->maxDoc() != size_)
    boost::throw_exception(Lucene::CorruptIndexException(L"a segment has other documents than it counts"));
  for (size_t field = 0; field < kTermFields; ++field) lengths_[field] = reader_->norms(kTermFieldNames[field]);
  kinds_.assign(static_cast<size_t>(size_), kDeleted);
  constexpr int kSources = static_cast<int>(Source::file) + 1;
  for (int kind = 0; kind <= kSources; ++kind) {
    const bool is_record = kind == kSources;
    const Lucene::String value = is_record ? kRecordKind : kind_of_source(static_cast<Source>(kind));
    const auto docs = reader_->termDocs(newLucene<Lucene::Term>(Lucene::String(kKindField), value));
    while (docs->next())
      kinds_.at(static_cast<size_t>(docs->doc())) =
          is_record ? static_cast<uint8_t>(kRecord) : static_cast<uint8_t>(kind);
    docs->close();
  }
  for (size_t doc = 0; doc < kinds_.size(); ++doc) {
    counts_.documents += kinds_[doc] == kRecord;
    if (kinds_[doc] >= kRecord) continue;
    ++counts_.passages;
    for (size_t field = 0; field < kTermFields; ++field)
      if (lengths_[field]) ++counts_.lengths[field][lengths_[field][static_cast<int32_t>(doc)]];
  }
}

SegmentCounts OpenSegment::counts(const Deletions* deletions) const {
  SegmentCounts counts = counts_;
  if (!deletions) return counts;
  const std::vector<uint8_t>& bytes = deletions->bytes();
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == 0) continue;
    for (size_t doc = 8 * i; doc < 8 * i + 8 && doc < kinds_.size(); ++doc) {
      if (!deletions->contains(static_cast<uint32_t>(doc))) continue;
      counts.documents -= kinds_[doc] == kRecord;
      if (kinds_[doc] >= kRecord) continue;
      --counts.passages;
      for (size_t field = 0; field < kTermFields; ++field)
        if (lengths_[field]) --counts.lengths[field][lengths_[field][static_cast<int32_t>(doc)]];
    }
  }
  return counts;
}

Lucene::IndexReaderPtr OpenSegment::reader_without(const Lucene::SegmentInfoPtr& info,
                                                   const std::string& deletions_name,
                                                   const std::shared_ptr<const CommittedFile>& deletions_file) const {
  // Lucene++ reads the deletions from the directory in which the segment was opened.
  const std::lock_guard lock(reopen_mutex_);
  const auto with = boost::dynamic_pointer_cast<Lucene::SegmentInfo>(info->clone());
  with->dir = directory_;
  directory_->lend(deletions_name, deletions_file);
  Lucene::IndexReaderPtr reader;
  try {
    reader = reader_->reopenSegment(with, false, true);
  } catch (...) {
    directory_->lend(deletions_name, nullptr);
    throw;
  }
  directory_->lend(deletions_name, nullptr);
  return reader;
}

const std::vector<int32_t>& OpenSegment::id_places() const {
  const std::lock_guard lock(places_mutex_);
  if (id_places_.empty() && size_ > 0) {
    std::vector<int32_t> places(static_cast<size_t>(size_), 0);
    const auto terms = reader_->terms(newLucene<Lucene::Term>(Lucene::String(kIdField), Lucene::String()));
    const auto docs = reader_->termDocs();
    for (int32_t place = 0; terms->term() && terms->term()->field() == kIdField; ++place) {
      docs->seek(terms);
      while (docs->next()) places.at(static_cast<size_t>(docs->doc())) = place;
      if (!terms->next()) break;
    }
    id_places_ = std::move(places);
  }
  return id_places_;
}

bool OpenSegment::may_hold(const std::string& document_id) const {
  if (id_sketch_.empty()) {
    if (++asked_ < kAskedBeforeSketch) return true;
    id_sketch_.assign(static_cast<size_t>(counts_.documents) / 5 + 1, 0);
    const auto terms = reader_->terms(newLucene<Lucene::Term>(Lucene::String(kIdField), Lucene::String()));
    while (terms->term() && terms->term()->field() == kIdField) {
      const SketchPlace place = sketch_place(terms->term()->text(), id_sketch_.size());
      id_sketch_[place.word] |= place.bits;
      if (!terms->next()) break;
    }
  }
  const SketchPlace place = sketch_place(id_to_wide(document_id), id_sketch_.size());
  return (id_sketch_[place.word] & place.bits) == place.bits;
}

uint64_t OpenSegment::bytes() const {
  uint64_t sum = 0;
  for (const auto& [name, file] : files_) sum += file->entry.bytes;
  return sum;
}

Result<ByteSource> OpenSegment::part(const std::string& ending) const {
  const auto whole = [](const std::shared_ptr<const CommittedFile>& file) {
    return ByteSource(std::shared_ptr<const File>(file, &file->file), 0, file->entry.bytes);
  };
  const bool stored = ending == "fdt" || ending == "fdx";
  const std::string& name = stored ? store_name_ : name_;
  const std::string wanted = name + "." + ending;
  if (const auto found = files_.find(wanted); found != files_.end()) return whole(found->second);
  // A compound file begins with the places and names of its parts; each ends where the next begins.
  for (const char* compound : {".cfs", ".cfx"}) {
    const auto found = files_.find(name + compound);
    if (found == files_.end()) continue;
    ByteSource head = whole(found->second);
    uint64_t begin = 0;
    bool met = false;
    std::vector<uint64_t> places;
    std::string part_name;
    for (uint64_t parts = head.number(); parts > 0 && !head.failed(); --parts) {
      places.push_back(head.int64());
      head.bytes(head.number(), part_name);
      if (part_name != wanted) continue;
      begin = places.back();
      met = true;
    }
    if (head.failed()) return head.status();
    if (!met) continue;
    uint64_t end = found->second->entry.bytes;
    for (const uint64_t place : places)
      if (place > begin) end = std::min(end, place);
    if (begin > end) return Status(StatusCode::corrupt, "a part lies outside of its file", wanted);
    return ByteSource(std::shared_ptr<const File>(found->second, &found->second->file), begin, end);
  }
  return ByteSource();
}

}  // namespace wenqu::retrieval
