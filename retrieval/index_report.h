// What an index consists of: for people who wonder why it is large or slow.
//
// Thread safety: free function; any number at once, also while the index is read and written.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/cancel.h"
#include "base/status.h"

namespace wenqu::retrieval {

struct SegmentReport {
  std::string name;
  uint64_t documents = 0;   // that are left
  uint64_t passages = 0;
  double deleted = 0;       // share of what lies in it that is deleted
  uint64_t bytes = 0;
};

struct TermReport {
  std::string text;
  uint64_t passages = 0;    // that hold it, deleted ones included
};

struct FieldReport {
  std::string name;
  double average_length = 0;        // terms, of the passages that have the field
  uint64_t terms = 0;               // distinct ones; 0 unless terms were asked for
  std::vector<TermReport> top;      // the commonest
};

struct IndexReport {
  uint64_t commit = 0;
  uint64_t documents = 0;
  uint64_t passages = 0;
  double deleted = 0;
  uint64_t files = 0;
  uint64_t bytes = 0;
  // By what they hold: "terms", "postings", "stored text", "lengths", "deletions", "other".
  std::map<std::string, uint64_t> bytes_by_content;
  std::vector<SegmentReport> segments;
  std::vector<FieldReport> fields;
  uint64_t user_words = 0;
  uint64_t synonym_rules = 0;
  bool pinyin = false;
};

// `top_terms` above 0 reads every term. Errors: not_found, corrupt, version_mismatch, io_error, cancelled.
Result<IndexReport> report_index(const std::string& directory, size_t top_terms, const CancelToken& cancel);

}  // namespace wenqu::retrieval
