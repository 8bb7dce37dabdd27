// Writes one segment in the file format of Lucene 3.0, as Lucene++ reads it: stored fields, terms with their
// postings, lengths. Nobody asks where in a passage a term stands, so all positions are 0: they share one run of
// zeros, as long as the longest needs.
//
// Thread safety: one thread at a time.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/index/schema.h"
#include "retrieval/store/byte_sink.h"
#include "retrieval/store/directory.h"

namespace wenqu::retrieval {

// The numbers of the fields: id, kind, the searched fields, and those that are only stored.
inline constexpr uint32_t kIdNumber = 0;
inline constexpr uint32_t kKindNumber = 1;
inline constexpr uint32_t kFirstTermNumber = 2;
inline constexpr uint32_t kPropertiesNumber = kFirstTermNumber + kTermFields;
inline constexpr uint32_t kTextNumber = kPropertiesNumber + 1;
inline constexpr uint32_t kPassageNumber = kPropertiesNumber + 2;
inline constexpr uint32_t kMarksNumber = kPropertiesNumber + 3;
inline constexpr uint32_t kFields = kMarksNumber + 1;
std::string field_name(uint32_t number);
// The numbers of the fields that have terms, in the order of their names, in which a segment keeps them.
const std::vector<uint32_t>& fields_in_order();

// The length codes of each searched field by Lucene document.
using LengthCodes = std::array<std::string, kTermFields>;

class SegmentOutput {
 public:
  enum class Shape {
    compound,   // one file, gathered in memory
    files,      // a file for each part, for large ones
  };
  static Result<std::unique_ptr<SegmentOutput>> create(WriterDirectory& directory, const std::string& name, Shape shape);

  // Stored fields, document by document.
  void begin_document(uint32_t stored_fields);
  void store(uint32_t field, std::string_view bytes);

  // Terms, field by field and then in the order of their bytes; of each first its postings by document.
  void begin_term();
  void add_posting(uint32_t document, uint32_t frequency);
  void end_term(uint32_t field, std::string_view term);

  // Nothing lies in the directory unless this is ok. Errors: io_error.
  Status finish(uint32_t documents, const LengthCodes& lengths);
  bool is_compound() const { return shape_ == Shape::compound; }
  const std::string& name() const { return name_; }
  // Names of what finish() made.
  const std::vector<std::string>& files() const { return files_; }

 private:
  enum Part { kFrequencies, kTerms, kTermIndex, kStored, kStoredIndex, kNorms, kPositions, kFieldInfos, kParts };
  // A level of the skip list of the term that is being written.
  struct SkipLevel {
    ByteSink bytes;
    uint32_t document = 0;
    uint64_t pointer = 0;
  };
  // What an entry of the dictionary refers to.
  struct TermInfo {
    uint32_t document_frequency = 0;
    uint64_t pointer = 0;
    uint32_t skip_offset = 0;
  };

  SegmentOutput(WriterDirectory& directory, std::string name, Shape shape)
      : directory_(directory), name_(std::move(name)), shape_(shape) {}
  Status begin();
  void add_skip();
  void write_skips();
  void write_index_entry();
  static void write_term(ByteSink& sink, std::string_view term, std::string_view before, uint32_t field,
                         const TermInfo& info, const TermInfo& info_before);
  void write_field_infos();
  Status write_compound();

  WriterDirectory& directory_;
  const std::string name_;
  const Shape shape_;
  std::array<ByteSink, kParts> parts_;
  std::vector<std::string> files_;

  uint64_t terms_ = 0;
  uint64_t index_terms_ = 0;
  std::string last_term_;
  uint32_t last_field_ = UINT32_MAX;
  TermInfo last_info_;
  std::string last_index_term_;
  TermInfo last_index_info_;
  uint64_t last_index_pointer_ = 0;

  TermInfo term_;                 // the one whose postings are being written
  uint32_t last_document_ = 0;
  uint64_t occurrences_ = 0;
  uint64_t most_occurrences_ = 0;
  std::vector<SkipLevel> skips_;
  size_t used_skips_ = 0;
};

}  // namespace wenqu::retrieval
