// Builds a Response step by step and tells each step as an Event. It alone numbers events and items,
// so every road to an answer gives a well-formed, gapless stream that ends exactly once.
//
// Thread safety: one thread at a time. Every member but the finishers does nothing once the sink has
// asked to stop; `stopped()` tells.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <set>
#include <string_view>

#include "sdk/assistant/citation.h"
#include "sdk/assistant/conversation.h"
#include "sdk/assistant/event.h"

namespace wenqu::assistant {

class ResponseWriter {
 public:
  // Milliseconds of a steady clock; tests give their own.
  using Clock = std::function<int64_t()>;

  ResponseWriter(const AskRequest& request, std::string model, bool extractive, const EventSink& sink,
                 Clock clock = {});

  // Knows what these found, and goes on numbering behind it. Before begin().
  void know(const Conversation& earlier);

  void begin();                                          // created, in_progress

  void begin_search(std::vector<std::string> queries);
  // Numbers the passages not seen before in this conversation, and tells all of them as results.
  void end_search(const std::vector<Finding>& findings);

  void think(std::string_view text);                     // opens the reasoning item; nothing once it is closed
  void end_thinking(State state = State::completed);     // closes it, if open

  void answer(std::string_view text);                    // opens the message item; marks become annotations
  void end_answer(State state = State::completed);       // closes it; an empty one is opened first

  void progress(Progress::Phase phase, size_t done, size_t total);
  void notice(std::string_view code, std::string message);

  // Exactly one of these ends the response. Items still open are closed as they are: incomplete, and of a failed response the
  // search as failed.
  void complete();
  void incomplete(std::string_view reason);
  void fail(Status error);

  bool stopped() const { return stopped_; }
  bool thinking() const { return reasoning_ != nullptr; }
  Response& response() { return response_; }

 private:
  void emit(Event event);
  Item& open_item(Item::Kind kind, std::string_view id_prefix);
  void close_item(Item& item, State state);
  void put_answer(const std::vector<CitationParser::Part>& parts);
  void mark_first_delta();
  void finish(State state, Event::Type type);

  const EventSink& sink_;
  Clock clock_;
  int64_t begun_ms_ = 0;
  int64_t search_begun_ms_ = 0;
  int64_t thinking_begun_ms_ = 0;
  bool report_progress_;
  uint64_t next_sequence_ = 0;
  bool stopped_ = false;
  bool finished_ = false;
  bool thought_ = false;   // the reasoning item is closed: there is one at most
  Response response_;
  Item* search_ = nullptr;
  Item* reasoning_ = nullptr;
  Item* message_ = nullptr;
  int last_number_ = 0;
  std::set<int> not_found_again_;   // of what was known before: their searches and scores are those of other questions
  CitationParser citations_{response_.evidence};
};

}  // namespace wenqu::assistant
