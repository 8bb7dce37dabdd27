#include "retrieval/index/segment_merge.h"

#include <algorithm>
#include <map>
#include <optional>

#include "retrieval/index/length_code.h"
#include "retrieval/store/byte_source.h"

namespace wenqu::retrieval {
namespace {

constexpr uint32_t kWorkBetweenLooks = 4096;   // at the cancel token
constexpr uint32_t kGone = UINT32_MAX;
constexpr uint32_t kOldestTermsFormat = static_cast<uint32_t>(-4);
constexpr uint32_t kBinary = 0x02;

Status misfit(const OpenSegment& segment, const char* what) {
  return Status(StatusCode::corrupt, std::string("a segment cannot be merged: ") + what, segment.name());
}

// Our number of each field of a segment, by the segment's own; kGone for one that is not ours.
Result<std::vector<uint32_t>> field_numbers(const OpenSegment& segment) {
  std::map<std::string, uint32_t> ours;
  for (uint32_t number = 0; number < kFields; ++number) ours[field_name(number)] = number;
  WENQU_ASSIGN_OR_RETURN(ByteSource in, segment.part("fnm"));
  std::vector<uint32_t> numbers;
  std::string name;
  in.number();   // the format
  for (uint64_t fields = in.number(); fields > 0 && !in.failed(); --fields) {
    in.bytes(in.number(), name);
    in.get();
    const auto found = ours.find(name);
    numbers.push_back(found == ours.end() ? kGone : found->second);
  }
  if (in.failed()) return in.status();
  return numbers;
}

// Walks through a segment's terms and their postings.
class TermWalk {
 public:
  static Result<TermWalk> open(const OpenSegment& segment, std::vector<uint32_t> fields) {
    TermWalk walk;
    walk.fields_ = std::move(fields);
    WENQU_ASSIGN_OR_RETURN(walk.terms_, segment.part("tis"));
    WENQU_ASSIGN_OR_RETURN(walk.postings_, segment.part("frq"));
    if (walk.terms_.int32() != kOldestTermsFormat) return misfit(segment, "its terms are of another format");
    walk.left_ = walk.terms_.int64();
    walk.terms_.int32();
    walk.skip_interval_ = walk.terms_.int32();
    walk.terms_.int32();
    if (walk.terms_.failed()) return walk.terms_.status();
    for (size_t i = 0; i < fields_in_order().size(); ++i) walk.places_[fields_in_order()[i]] = static_cast<uint32_t>(i);
    return walk;
  }

  // Goes to the next term of a field that is ours; false at the end and after an error.
  bool next() {
    while (left_ > 0 && !terms_.failed()) {
      --left_;
      const uint64_t shared = terms_.number();
      terms_.bytes(terms_.number(), suffix_);
      if (shared > text_.size()) {
        status_ = Status(StatusCode::corrupt, "a term shares more than there is with the one before it");
        return false;
      }
      text_.resize(static_cast<size_t>(shared));
      text_ += suffix_;
      const uint64_t field = terms_.number();
      documents_ = terms_.number();
      pointer_ += terms_.number();
      terms_.number();   // in the positions
      if (documents_ >= skip_interval_) terms_.number();
      field_ = field < fields_.size() ? fields_[static_cast<size_t>(field)] : kGone;
      if (field_ < kPropertiesNumber && !terms_.failed()) return true;
    }
    return false;
  }

  uint32_t field() const { return field_; }
  // Where the term's field stands among the fields.
  uint32_t place() const { return places_[field_]; }
  const std::string& text() const { return text_; }

  // Appends the term's postings, in the numbers of the merged segment.
  void copy_postings(const std::vector<uint32_t>& numbers, SegmentOutput& output) {
    postings_.seek(pointer_);
    uint64_t document = 0;
    for (uint64_t i = 0; i < documents_; ++i) {
      const uint64_t code = postings_.number();
      document += code >> 1;
      const uint64_t frequency = code & 1 ? 1 : postings_.number();
      if (postings_.failed()) return;
      if (document >= numbers.size() || (i > 0 && code < 2) || frequency == 0 || frequency > INT32_MAX) {
        status_ = Status(StatusCode::corrupt, "a list of postings is out of order");
        return;
      }
      const uint32_t number = numbers[static_cast<size_t>(document)];
      if (number != kGone) output.add_posting(number, static_cast<uint32_t>(frequency));
    }
  }

  Status status() const {
    if (!status_) return status_;
    return terms_.failed() ? terms_.status() : postings_.status();
  }

 private:
  std::vector<uint32_t> fields_;
  std::array<uint32_t, kPropertiesNumber> places_{};
  ByteSource terms_, postings_;
  uint64_t left_ = 0;
  uint64_t skip_interval_ = 16;
  uint32_t field_ = 0;
  uint64_t documents_ = 0;
  uint64_t pointer_ = 0;
  std::string text_, suffix_;
  Status status_;
};

class Merge {
 public:
  Merge(const std::vector<MergeSource>& sources, SegmentOutput& output, const CancelToken& cancel)
      : sources_(sources), output_(output), cancel_(cancel) {}

  Status run() {
    for (const MergeSource& source : sources_) {
      for (const auto& [name, file] : source.segment->files()) {
        WENQU_RETURN_IF_ERROR(cancel_.status());
        WENQU_RETURN_IF_ERROR(verify_file(file->file, file->entry));
      }
      number_documents(source);
      WENQU_ASSIGN_OR_RETURN(auto fields, field_numbers(*source.segment));
      WENQU_RETURN_IF_ERROR(copy_stored(source, fields));
      WENQU_ASSIGN_OR_RETURN(TermWalk walk, TermWalk::open(*source.segment, std::move(fields)));
      walks_.push_back(std::move(walk));
    }
    WENQU_RETURN_IF_ERROR(merge_terms());
    return output_.finish(size_, lengths_);
  }

 private:
  // Gives the documents that are left their numbers, and takes over their lengths.
  void number_documents(const MergeSource& source) {
    const auto documents = static_cast<uint32_t>(source.segment->size());
    std::vector<uint32_t> numbers(documents, kGone);
    for (uint32_t document = 0; document < documents; ++document) {
      if (source.deletions && source.deletions->contains(document)) continue;
      numbers[document] = size_++;
      for (size_t field = 0; field < kTermFields; ++field) {
        const Lucene::ByteArray& codes = source.segment->lengths()[field];
        lengths_[field] += static_cast<char>(codes ? codes[static_cast<int32_t>(document)] : kFieldAbsent);
      }
    }
    numbers_.push_back(std::move(numbers));
  }

  Status copy_stored(const MergeSource& source, const std::vector<uint32_t>& fields) {
    const OpenSegment& segment = *source.segment;
    WENQU_ASSIGN_OR_RETURN(ByteSource index, segment.part("fdx"));
    WENQU_ASSIGN_OR_RETURN(ByteSource data, segment.part("fdt"));
    constexpr uint64_t kHead = 4;
    index.seek(kHead + 8 * static_cast<uint64_t>(segment.store_offset()));
    std::string bytes;
    const std::vector<uint32_t>& numbers = numbers_.back();
    for (size_t document = 0; document < numbers.size(); ++document) {
      if (document % kWorkBetweenLooks == 0) WENQU_RETURN_IF_ERROR(cancel_.status());
      const uint64_t place = index.int64();
      if (numbers[document] == kGone) continue;
      data.seek(place);
      const uint64_t count = data.number();
      if (count > kFields) return misfit(segment, "a document has more fields than there are");
      output_.begin_document(static_cast<uint32_t>(count));
      for (uint64_t i = 0; i < count; ++i) {
        const uint64_t field = data.number();
        const uint8_t form = data.get();
        data.bytes(data.number(), bytes);
        if (data.failed()) break;
        if (field >= fields.size() || fields[static_cast<size_t>(field)] == kGone || form != kBinary)
          return misfit(segment, "a document has a field that is unknown");
        output_.store(fields[static_cast<size_t>(field)], bytes);
      }
      if (index.failed() || data.failed()) return index.failed() ? index.status() : data.status();
    }
    return {};
  }

  // Whether the term of `a` comes before that of `b`; of the same term, the earlier segment's.
  bool comes_later(size_t a, size_t b) const {
    const TermWalk& x = walks_[a];
    const TermWalk& y = walks_[b];
    if (x.place() != y.place()) return x.place() > y.place();
    const int order = x.text().compare(y.text());
    return order != 0 ? order > 0 : a > b;
  }

  Status merge_terms() {
    std::vector<size_t> heap;
    const auto later = [this](size_t a, size_t b) { return comes_later(a, b); };
    const auto advance = [&](size_t walk) {
      if (walks_[walk].next()) {
        heap.push_back(walk);
        std::push_heap(heap.begin(), heap.end(), later);
      }
      return walks_[walk].status();
    };
    for (size_t walk = 0; walk < walks_.size(); ++walk) WENQU_RETURN_IF_ERROR(advance(walk));
    std::string text;
    for (uint32_t terms = 0; !heap.empty(); ++terms) {
      if (terms % kWorkBetweenLooks == 0) WENQU_RETURN_IF_ERROR(cancel_.status());
      const uint32_t field = walks_[heap.front()].field();
      text = walks_[heap.front()].text();
      output_.begin_term();
      while (!heap.empty() && walks_[heap.front()].field() == field && walks_[heap.front()].text() == text) {
        std::pop_heap(heap.begin(), heap.end(), later);
        const size_t walk = heap.back();
        heap.pop_back();
        walks_[walk].copy_postings(numbers_[walk], output_);
        WENQU_RETURN_IF_ERROR(advance(walk));
      }
      output_.end_term(field, text);
    }
    return {};
  }

  const std::vector<MergeSource>& sources_;
  SegmentOutput& output_;
  const CancelToken& cancel_;
  std::vector<std::vector<uint32_t>> numbers_;   // of each source's documents in the merged segment
  std::vector<TermWalk> walks_;
  LengthCodes lengths_;
  uint32_t size_ = 0;
};

}  // namespace

uint32_t surviving_documents(const std::vector<MergeSource>& sources) {
  uint32_t count = 0;
  for (const MergeSource& source : sources)
    count += static_cast<uint32_t>(source.segment->size()) - (source.deletions ? source.deletions->count() : 0);
  return count;
}

Status merge_segments(const std::vector<MergeSource>& sources, SegmentOutput& output, const CancelToken& cancel) {
  return Merge(sources, output, cancel).run();
}

}  // namespace wenqu::retrieval
