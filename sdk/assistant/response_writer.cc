#include "sdk/assistant/response_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <random>

namespace wenqu::assistant {
namespace {

int64_t steady_ms() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

int64_t unix_seconds() {
  using namespace std::chrono;
  return duration_cast<seconds>(system_clock::now().time_since_epoch()).count();
}

std::string random_id(std::string_view prefix) {
  std::random_device random;
  return fmt::format("{}_{:08x}{:08x}{:08x}", prefix, random(), random(), random());
}

}  // namespace

ResponseWriter::ResponseWriter(const AskRequest& request, std::string model, bool extractive,
                               const EventSink& sink, Clock clock)
    : sink_(sink), clock_(clock ? std::move(clock) : Clock(steady_ms)), report_progress_(request.report_progress) {
  begun_ms_ = clock_();
  response_.id = random_id("resp");
  response_.previous_id = request.previous_response_id;
  response_.created_at = unix_seconds();
  response_.mode = request.mode;
  response_.model = std::move(model);
  response_.extractive = extractive;
  response_.metadata = request.metadata;
}

void ResponseWriter::emit(Event event) {
  event.sequence_number = next_sequence_++;
  event.response = &response_;
  if (sink_ && !sink_(event)) stopped_ = true;
}

Item& ResponseWriter::open_item(Item::Kind kind, std::string_view id_prefix) {
  Item& item = response_.items.emplace_back();
  item.kind = kind;
  item.output_index = static_cast<int>(response_.items.size()) - 1;
  // Derived from the response's id, so that an item can be traced to its response.
  item.id = fmt::format("{}_{}_{}", id_prefix, response_.id.substr(5), item.output_index);
  return item;
}

void ResponseWriter::close_item(Item& item, State state) {
  item.state = state;
  emit({.type = Event::Type::item_done, .item = &item});
}

void ResponseWriter::know(const Conversation& earlier) {
  for (const auto& turn : earlier) {
    for (const Evidence& known : turn->evidence) {
      response_.evidence.push_back(known);
      not_found_again_.insert(known.number);
    }
    last_number_ = std::max(last_number_, turn->last_number);
  }
}

void ResponseWriter::begin() {
  emit({.type = Event::Type::created});
  emit({.type = Event::Type::in_progress});
}

void ResponseWriter::begin_search(std::vector<std::string> queries) {
  if (stopped_) return;
  search_begun_ms_ = clock_();
  response_.usage.searches += queries.size();
  search_ = &open_item(Item::Kind::file_search, "fs");
  search_->queries = std::move(queries);
  emit({.type = Event::Type::item_added, .item = search_});
  emit({.type = Event::Type::search_searching, .item = search_});
}

void ResponseWriter::end_search(const std::vector<Finding>& findings) {
  if (!search_) return;
  for (const auto& [hit, query] : findings) {
    Evidence* known = nullptr;
    for (Evidence& evidence : response_.evidence)
      if (evidence.hit.passage.document_id == hit.passage.document_id &&
          evidence.hit.passage.ordinal == hit.passage.ordinal && evidence.hit.passage.hash == hit.passage.hash)   // else it was written anew
        known = &evidence;
    if (!known) {
      response_.evidence.push_back({++last_number_, hit, query});
      known = &response_.evidence.back();
    } else if (not_found_again_.erase(known->number)) {
      known->hit = hit;
      known->query = query;
    }
    search_->results.push_back(known);
  }
  response_.timings.retrieval_ms += clock_() - search_begun_ms_;
  emit({.type = Event::Type::search_completed, .item = search_});
  close_item(*search_, State::completed);
  search_ = nullptr;
}

void ResponseWriter::mark_first_delta() {
  if (response_.timings.first_delta_ms < 0) response_.timings.first_delta_ms = clock_() - begun_ms_;
}

void ResponseWriter::think(std::string_view text) {
  if (stopped_ || text.empty() || thought_) return;
  if (!reasoning_) {
    mark_first_delta();
    thinking_begun_ms_ = clock_();
    reasoning_ = &open_item(Item::Kind::reasoning, "rs");
    emit({.type = Event::Type::item_added, .item = reasoning_});
  }
  reasoning_->text += text;
  emit({.type = Event::Type::reasoning_delta, .item = reasoning_, .delta = text});
}

void ResponseWriter::end_thinking(State state) {
  if (!reasoning_) return;
  reasoning_->elapsed_ms = response_.timings.thinking_ms = clock_() - thinking_begun_ms_;
  emit({.type = Event::Type::reasoning_done, .item = reasoning_});
  close_item(*reasoning_, state);
  reasoning_ = nullptr;
  thought_ = true;
}

void ResponseWriter::put_answer(const std::vector<CitationParser::Part>& parts) {
  for (const CitationParser::Part& part : parts) {
    message_->text += part.text;
    emit({.type = Event::Type::text_delta, .item = message_, .delta = part.text});
    for (const Citation& citation : part.citations) {
      message_->citations.push_back(citation);
      emit({.type = Event::Type::annotation_added, .item = message_, .citation = &message_->citations.back()});
    }
  }
}

void ResponseWriter::answer(std::string_view text) {
  if (stopped_ || text.empty()) return;
  if (!message_) {
    end_thinking();
    mark_first_delta();
    message_ = &open_item(Item::Kind::message, "msg");
    emit({.type = Event::Type::item_added, .item = message_});
    emit({.type = Event::Type::part_added, .item = message_});
  }
  put_answer(citations_.push(text));
}

void ResponseWriter::end_answer(State state) {
  if (!message_) {
    end_thinking();
    message_ = &open_item(Item::Kind::message, "msg");
    emit({.type = Event::Type::item_added, .item = message_});
    emit({.type = Event::Type::part_added, .item = message_});
  }
  put_answer(citations_.finish());
  emit({.type = Event::Type::text_done, .item = message_});
  emit({.type = Event::Type::part_done, .item = message_});
  close_item(*message_, state);
  message_ = nullptr;
}

void ResponseWriter::progress(Progress::Phase phase, size_t done, size_t total) {
  if (stopped_ || !report_progress_) return;
  const Progress progress{phase, done, total};
  emit({.type = Event::Type::progress, .progress = &progress});
}

void ResponseWriter::notice(std::string_view code, std::string message) {
  if (stopped_) return;
  const Notice notice{code, std::move(message)};
  emit({.type = Event::Type::notice, .notice = &notice});
}

void ResponseWriter::finish(State state, Event::Type type) {
  if (finished_) return;
  finished_ = true;
  if (search_) {
    close_item(*search_, state == State::failed ? State::failed : State::incomplete);
    search_ = nullptr;
  }
  const State cut_off = state == State::completed ? State::completed : State::incomplete;
  end_thinking(cut_off);
  if (message_) end_answer(cut_off);
  response_.state = state;
  response_.timings.total_ms = clock_() - begun_ms_;
  emit({.type = type});
}

void ResponseWriter::complete() { finish(State::completed, Event::Type::completed); }

void ResponseWriter::incomplete(std::string_view reason) {
  if (!finished_) response_.incomplete_reason = reason;
  finish(State::incomplete, Event::Type::incomplete);
}

void ResponseWriter::fail(Status error) {
  if (!finished_) response_.error = std::move(error);
  finish(State::failed, Event::Type::failed);
}

}  // namespace wenqu::assistant
