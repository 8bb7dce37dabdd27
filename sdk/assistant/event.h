// What happens while a question is answered, as typed events. Their order and meaning follow OpenAI's
// Responses streaming events; what that protocol lacks is ours (progress, notice).
//
//   created, in_progress, then items, then exactly one of completed, incomplete or failed.
//   file search item: item_added, search_searching, search_completed, item_done (with results)
//   reasoning item:   item_added, reasoning_delta..., reasoning_done, item_done; at most one; searches
//                     made inside the thinking come between its deltas as items of their own
//   message item:     item_added, part_added, (text_delta | annotation_added)..., text_done, part_done,
//                     item_done
//
// Lifetime: an Event borrows everything it points to for the duration of the sink's call.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "retrieval/passage.h"
#include "sdk/assistant/request.h"

namespace wenqu::assistant {

// A passage with the number under which the answer cites it: 1, 2, 3 ... in the order of finding,
// through all searches of one conversation.
struct Evidence {
  int number = 0;
  retrieval::Hit hit;
  std::string query;   // the search that found it first
};

// What a search gives before it is numbered.
struct Finding {
  retrieval::Hit hit;
  std::string query;
};

// A mark "[citation:N]" in the answer, bound by code to the passage it names.
struct Citation {
  int number = 0;
  retrieval::CharRange mark;   // where the mark stands in the answer, in code points
  const Evidence* evidence = nullptr;
};

// Of a response, and of each of its items. What a failure or a cancellation cuts off is incomplete; of items, only the search
// that failed is itself failed.
enum class State { in_progress, completed, incomplete, failed };

struct Item {
  enum class Kind { file_search, reasoning, message };
  Kind kind = Kind::message;
  std::string id;
  int output_index = 0;
  State state = State::in_progress;

  std::vector<std::string> queries;      // file_search
  std::vector<const Evidence*> results;  // file_search that is completed, best first
  std::string text;                      // reasoning, message
  std::vector<Citation> citations;       // message
  int64_t elapsed_ms = 0;                // reasoning: from its first delta to its end
};

struct Usage {
  size_t input_tokens = 0;
  size_t cached_tokens = 0;     // of input_tokens: taken over from what the model had read before
  size_t output_tokens = 0;     // thinking included
  size_t reasoning_tokens = 0;
  size_t drafted_tokens = 0;    // read before it was known whether the model chooses them
  size_t accepted_tokens = 0;   // of output_tokens: those that were read so
  size_t searches = 0;
};

struct Timings {
  int64_t retrieval_ms = 0;
  int64_t first_delta_ms = -1;  // from the request to the first thinking or answer text; -1: none came
  int64_t thinking_ms = 0;      // first thinking text to the end of thinking, as the DeepSeek app counts
  int64_t total_ms = 0;
};

struct Response {
  using State = assistant::State;
  std::string id;
  std::string previous_id;       // of the response after which this was asked; empty: none
  int64_t created_at = 0;        // seconds since 1970
  Mode mode = Mode::quick;
  State state = State::in_progress;
  std::string model;             // name of what wrote the answer
  bool extractive = false;       // the answer is made of sentences taken from the sources
  std::deque<Evidence> evidence; // of the conversation: what earlier turns found comes first
  std::deque<Item> items;
  Usage usage;
  Timings timings;
  std::string incomplete_reason; // "cancelled", "deadline_exceeded", "max_output_tokens"
  Status error;                  // of a failed response
  std::string metadata;
};

struct Progress {
  enum class Phase { retrieving, prefill, thinking, answering };
  Phase phase = Phase::retrieving;
  size_t done = 0;    // tokens of a prefill, searches of a retrieval
  size_t total = 0;
};

struct Notice {
  // "no_evidence", "context_truncated", "thinking_budget_hit", "extractive"
  std::string_view code;
  std::string message;
};

struct Event {
  enum class Type {
    created, in_progress,
    item_added, search_searching, search_completed, item_done,
    reasoning_delta, reasoning_done,
    part_added, text_delta, annotation_added, text_done, part_done,
    progress, notice,
    completed, incomplete, failed,
  };
  Type type = Type::created;
  uint64_t sequence_number = 0;         // 0, 1, 2 ... without gaps in one response
  const Response* response = nullptr;   // never null: the state after this event
  const Item* item = nullptr;           // of item, search, reasoning, part and text events
  std::string_view delta;               // of deltas: whole UTF-8 characters
  const Citation* citation = nullptr;   // of annotation_added
  const Progress* progress = nullptr;
  const Notice* notice = nullptr;

  bool is_final() const { return type == Type::completed || type == Type::incomplete || type == Type::failed; }
};

// Return false to cancel the request; the final event still comes.
using EventSink = std::function<bool(const Event&)>;

}  // namespace wenqu::assistant
