// What a user asks, with the budgets an answer may spend.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/document.h"
#include "retrieval/filter.h"

namespace wenqu::assistant {

enum class Mode {
  quick,  // 快速问答: one retrieval pass, a short answer, the first token at once
  deep,   // 深度思考: searches again from what it learned, visible thinking, then the answer
};

std::string_view mode_name(Mode mode);

inline constexpr size_t kMaxQuestionBytes = 16 << 10;

inline constexpr size_t kMaxHistoryBytes = 256 << 10;

// What a client kept of a conversation itself.
struct Exchange {
  std::string question, answer;
};

struct AskRequest {
  std::string question;                     // UTF-8, 1 byte to 16 KiB
  std::string previous_response_id;         // the response after which it is asked; empty: a conversation begins
  std::vector<Exchange> history;            // what was said before (after that response), oldest first; up to 256 KiB
  Mode mode = Mode::quick;
  std::vector<retrieval::Source> sources;   // empty: all
  retrieval::Filter filter;                 // which of their documents
  size_t passages = 0;                      // evidence for the answer, up to 50; 0: 6 quick, 10 deep
  size_t max_rounds = 0;                    // searches, 1 to 8; 0: 1 quick, 3 deep (a deep answer makes 2 at least)
  size_t max_prompt_tokens = 8192;          // passages are left out, the worst first, to stay below
  size_t max_thinking_tokens = 2048;        // then the thinking is closed and the answer begins
  size_t max_answer_tokens = 1024;
  double time_limit_seconds = 0;            // 0: none
  std::optional<std::chrono::steady_clock::time_point> asked_at;   // from when the limit counts; nothing: from when it is answered
  float temperature = 0.6f;                 // 0: always the best token
  float top_p = 0.95f;
  uint64_t seed = 0;                        // 0: a new one for each request
  bool report_progress = false;             // wenqu.progress events
  std::string metadata;                     // the host's own, given back in every response object
};

// Errors: invalid_argument and limit_exceeded, with the field in where().
Status validate(const AskRequest& request);

}  // namespace wenqu::assistant
