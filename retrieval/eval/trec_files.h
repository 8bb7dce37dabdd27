// The files of a retrieval experiment, in the forms TREC gave them: questions ("id<TAB>question"),
// judgements ("query 0 document grade") and runs ("query Q0 document rank score name").
//
// Thread safety: pure but for the file. Errors: not_found, io_error, and invalid_argument with FILE:LINE.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "retrieval/eval/measures.h"

namespace wenqu::retrieval {

struct Question {
  std::string id;
  std::string text;
};

// In the order of the file.
Result<std::vector<Question>> read_questions(const std::string& path);
Result<Judgements> read_judgements(const std::string& path);
// Ordered by rank.
Result<Run> read_run(const std::string& path);

}  // namespace wenqu::retrieval
