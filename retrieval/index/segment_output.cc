#include "retrieval/index/segment_output.h"

#include <algorithm>

#include "retrieval/index/length_code.h"
#include "retrieval/store/lucene_call.h"

namespace wenqu::retrieval {
namespace {

constexpr std::array<const char*, 8> kEndings = {".frq", ".tis", ".tii", ".fdt", ".fdx", ".nrm", ".prx", ".fnm"};

constexpr uint32_t kTermsFormat = static_cast<uint32_t>(-4);
constexpr uint32_t kStoredFormat = 2;
constexpr uint64_t kFieldInfosFormat = static_cast<uint32_t>(-2);
// A look-up scans half this many terms; the default of 128 made it most of a query's time.
constexpr uint32_t kTermIndexInterval = 32;
constexpr uint32_t kSkipInterval = 16;
constexpr uint32_t kMaxSkipLevels = 10;

constexpr uint8_t kIndexed = 0x01;
constexpr uint8_t kOmitNorms = 0x10;
constexpr uint8_t kBinary = 0x02;

}  // namespace

std::string field_name(uint32_t number) {
  if (number == kIdNumber) return from_wide(kIdField);
  if (number == kKindNumber) return from_wide(kKindField);
  if (number < kPropertiesNumber) return from_wide(kTermFieldNames[number - kFirstTermNumber]);
  constexpr const wchar_t* kStored[] = {kPropertiesField, kTextField, kPassageField, kMarksField};
  return from_wide(kStored[number - kPropertiesNumber]);
}

const std::vector<uint32_t>& fields_in_order() {
  // Never destroyed: a host may exit while an index is written.
  static const auto& order = *new const std::vector<uint32_t>([] {
    std::vector<uint32_t> numbers;
    for (uint32_t number = 0; number < kPropertiesNumber; ++number) numbers.push_back(number);
    std::sort(numbers.begin(), numbers.end(), [](uint32_t a, uint32_t b) { return field_name(a) < field_name(b); });
    return numbers;
  }());
  return order;
}

Result<std::unique_ptr<SegmentOutput>> SegmentOutput::create(WriterDirectory& directory, const std::string& name,
                                                             Shape shape) {
  std::unique_ptr<SegmentOutput> output(new SegmentOutput(directory, name, shape));
  WENQU_RETURN_IF_ERROR(output->begin());
  return output;
}

Status SegmentOutput::begin() {
  static_assert(kEndings.size() == kParts);
  if (shape_ == Shape::files)
    for (size_t part = 0; part < kParts; ++part) {
      files_.push_back(name_ + kEndings[part]);
      WENQU_ASSIGN_OR_RETURN(auto file, directory_.create(files_.back()));
      parts_[part] = ByteSink(std::move(file));
    }
  for (const Part part : {kTerms, kTermIndex}) {
    parts_[part].put_int32(kTermsFormat);
    parts_[part].put_int64(0);   // how many, known at the end
    parts_[part].put_int32(kTermIndexInterval);
    parts_[part].put_int32(kSkipInterval);
    parts_[part].put_int32(kMaxSkipLevels);
  }
  parts_[kStored].put_int32(kStoredFormat);
  parts_[kStoredIndex].put_int32(kStoredFormat);
  skips_.resize(kMaxSkipLevels);
  return {};
}

void SegmentOutput::begin_document(uint32_t stored_fields) {
  parts_[kStoredIndex].put_int64(parts_[kStored].position());
  parts_[kStoredIndex].settle();
  parts_[kStored].put_number(stored_fields);
}

void SegmentOutput::store(uint32_t field, std::string_view bytes) {
  parts_[kStored].put_number(field);
  parts_[kStored].put(kBinary);
  parts_[kStored].put_string(bytes);
}

void SegmentOutput::begin_term() {
  term_ = TermInfo();
  term_.pointer = parts_[kFrequencies].position();
  last_document_ = 0;
  occurrences_ = 0;
  for (size_t level = 0; level < used_skips_; ++level) skips_[level].bytes.clear();
  used_skips_ = 0;
}

void SegmentOutput::add_posting(uint32_t document, uint32_t frequency) {
  if (++term_.document_frequency % kSkipInterval == 0) add_skip();
  const uint64_t delta = document - last_document_;
  ByteSink& out = parts_[kFrequencies];
  if (frequency == 1) {
    out.put_number(delta << 1 | 1);
  } else {
    out.put_number(delta << 1);
    out.put_number(frequency);
  }
  last_document_ = document;
  occurrences_ += frequency;
}

// Says where the posting that comes next stands, on as many levels as its number has zeros to the base of 16.
void SegmentOutput::add_skip() {
  const uint64_t pointer = parts_[kFrequencies].position();
  uint64_t child = 0;
  uint32_t count = term_.document_frequency;
  for (size_t level = 0; level < kMaxSkipLevels && count % kSkipInterval == 0; ++level, count /= kSkipInterval) {
    SkipLevel& skip = skips_[level];
    if (level >= used_skips_) {
      used_skips_ = level + 1;
      skip.document = 0;
      skip.pointer = term_.pointer;
    }
    skip.bytes.put_number(last_document_ - skip.document);
    skip.bytes.put_number(pointer - skip.pointer);
    skip.bytes.put_number(0);   // in the positions
    skip.document = last_document_;
    skip.pointer = pointer;
    const uint64_t next_child = skip.bytes.position();
    if (level > 0) skip.bytes.put_number(child);
    child = next_child;
  }
}

void SegmentOutput::write_skips() {
  ByteSink& out = parts_[kFrequencies];
  term_.skip_offset = static_cast<uint32_t>(out.position() - term_.pointer);
  for (size_t level = used_skips_; level-- > 0;) {
    if (level > 0) out.put_number(skips_[level].bytes.position());
    out.put_bytes(skips_[level].bytes.bytes());
  }
}

void SegmentOutput::write_term(ByteSink& sink, std::string_view term, std::string_view before, uint32_t field,
                               const TermInfo& info, const TermInfo& info_before) {
  const size_t shared = static_cast<size_t>(
      std::mismatch(term.begin(), term.end(), before.begin(), before.end()).first - term.begin());
  sink.put_number(shared);
  sink.put_string(term.substr(shared));
  sink.put_number(field);
  sink.put_number(info.document_frequency);
  sink.put_number(info.pointer - info_before.pointer);
  sink.put_number(0);   // in the positions
  if (info.document_frequency >= kSkipInterval) sink.put_number(info.skip_offset);
}

// The index of the dictionary has every 32nd term; each entry tells of the term before it.
void SegmentOutput::write_index_entry() {
  ByteSink& index = parts_[kTermIndex];
  write_term(index, last_term_, last_index_term_, last_field_, last_info_, last_index_info_);
  const uint64_t pointer = parts_[kTerms].position();
  index.put_number(pointer - last_index_pointer_);
  index.settle();
  last_index_term_ = last_term_;
  last_index_info_ = last_info_;
  last_index_pointer_ = pointer;
  ++index_terms_;
}

void SegmentOutput::end_term(uint32_t field, std::string_view term) {
  if (term_.document_frequency == 0) return;
  write_skips();
  parts_[kFrequencies].settle();
  if (terms_ % kTermIndexInterval == 0) write_index_entry();
  write_term(parts_[kTerms], term, last_term_, field, term_, last_info_);
  parts_[kTerms].settle();
  last_term_ = term;
  last_field_ = field;
  last_info_ = term_;
  most_occurrences_ = std::max(most_occurrences_, occurrences_);
  ++terms_;
}

void SegmentOutput::write_field_infos() {
  ByteSink& out = parts_[kFieldInfos];
  out.put_number(kFieldInfosFormat);
  out.put_number(kFields);
  for (uint32_t number = 0; number < kFields; ++number) {
    out.put_string(field_name(number));
    out.put(number < kFirstTermNumber ? kIndexed | kOmitNorms : number < kPropertiesNumber ? kIndexed : 0);
  }
}

Status SegmentOutput::finish(uint32_t documents, const LengthCodes& lengths) {
  parts_[kTerms].patch_int64(4, terms_);
  parts_[kTermIndex].patch_int64(4, index_terms_);
  parts_[kNorms].put_bytes("NRM\xFF");
  for (const std::string& codes : lengths) {
    if (codes.size() != documents)
      return Status(StatusCode::internal, "a segment has other lengths than documents", name_);
    parts_[kNorms].put_bytes(codes);
  }
  const std::string zeros(size_t{1} << 16, '\0');
  for (uint64_t left = most_occurrences_; left > 0;) {
    const uint64_t part = std::min<uint64_t>(left, zeros.size());
    parts_[kPositions].put_bytes(std::string_view(zeros).substr(0, static_cast<size_t>(part)));
    left -= part;
  }
  write_field_infos();
  if (shape_ == Shape::compound) return write_compound();
  for (ByteSink& part : parts_) WENQU_RETURN_IF_ERROR(part.finish());
  return {};
}

// One file of all parts: how many, then where each begins and what it is called, then the parts.
Status SegmentOutput::write_compound() {
  files_ = {name_ + ".cfs"};
  uint64_t place = 1;   // their number takes a byte
  for (const char* ending : kEndings) place += 8 + 1 + name_.size() + std::string_view(ending).size();
  WENQU_ASSIGN_OR_RETURN(auto file, directory_.create(files_.front()));
  ByteSink out(std::move(file));
  out.put_number(kParts);
  for (size_t part = 0; part < kParts; ++part) {
    out.put_int64(place);
    out.put_string(name_ + kEndings[part]);
    place += parts_[part].position();
  }
  for (ByteSink& part : parts_) {
    out.put_bytes(part.bytes());
    part = ByteSink();
  }
  return out.finish();
}

}  // namespace wenqu::retrieval
