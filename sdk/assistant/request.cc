#include "sdk/assistant/request.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "base/utf8.h"

namespace wenqu::assistant {

std::string_view mode_name(Mode mode) { return mode == Mode::deep ? "deep" : "quick"; }

namespace {

bool is_blank(std::string_view text) {
  for (size_t pos = 0; pos < text.size();) {
    const char32_t c = utf8_next(text, pos);
    const bool space = c <= 0x20 || c == 0x85 || c == 0xA0 || (c >= 0x2000 && c <= 0x200F) || c == 0x2028 ||
                       c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000 || c == 0xFEFF;
    if (!space) return false;
  }
  return true;
}

Status in_range(const char* field, size_t value, size_t low, size_t high) {
  if (value >= low && value <= high) return {};
  return Status(StatusCode::invalid_argument, fmt::format("{} is not between {} and {}", value, low, high), field);
}

}  // namespace

Status validate(const AskRequest& request) {
  if (is_blank(request.question))
    return Status(StatusCode::invalid_argument, "the question is empty: ask something", "question");
  if (request.question.size() > kMaxQuestionBytes)
    return Status(StatusCode::limit_exceeded,
                  fmt::format("the question has {} bytes, {} at most are taken: shorten it, or index long text as a document",
                              request.question.size(), kMaxQuestionBytes),
                  "question");
  size_t history = 0;
  for (const Exchange& exchange : request.history) history += exchange.question.size() + exchange.answer.size();
  if (history > kMaxHistoryBytes)
    return Status(StatusCode::limit_exceeded,
                  fmt::format("the messages before the question have {} bytes, {} at most are taken: leave out the oldest", history, kMaxHistoryBytes),
                  "history");
  for (const auto& [time, field] : {std::pair(&request.filter.published_from, "published_from"),
                                    std::pair(&request.filter.published_until, "published_until")})
    if (!time->empty() && !retrieval::parse_time(*time))
      return Status(StatusCode::invalid_argument, "is no ISO 8601 date or date-time", field);
  WENQU_RETURN_IF_ERROR(in_range("passages", request.passages, 0, 50));
  WENQU_RETURN_IF_ERROR(in_range("max_rounds", request.max_rounds, 0, 8));
  WENQU_RETURN_IF_ERROR(in_range("max_prompt_tokens", request.max_prompt_tokens, 256, 1 << 20));
  WENQU_RETURN_IF_ERROR(in_range("max_thinking_tokens", request.max_thinking_tokens, 0, 1 << 20));
  WENQU_RETURN_IF_ERROR(in_range("max_answer_tokens", request.max_answer_tokens, 1, 1 << 20));
  if (!(request.time_limit_seconds >= 0 && request.time_limit_seconds <= 86400))
    return Status(StatusCode::invalid_argument, "the time limit is not between 0 and 86400 seconds", "time_limit_seconds");
  if (!(request.temperature >= 0 && request.temperature <= 10))
    return Status(StatusCode::invalid_argument, "the temperature is not between 0 and 10", "temperature");
  if (!(request.top_p > 0 && request.top_p <= 1))
    return Status(StatusCode::invalid_argument, "top_p is not above 0 and at most 1", "top_p");
  return {};
}

}  // namespace wenqu::assistant
