#include "sdk/protocol/event_json.h"

#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <algorithm>
#include <cmath>

#include "base/utf8.h"

namespace wenqu::protocol {
namespace {

using assistant::Citation;
using assistant::Event;
using assistant::Evidence;
using assistant::Item;
using assistant::Progress;
using assistant::Response;
using assistant::State;

class Json {
 public:
  Json() : writer_(buffer_) {}

  Json& key(std::string_view name) {
    writer_.Key(name.data(), static_cast<rapidjson::SizeType>(name.size()));
    return *this;
  }
  void text(std::string_view value) {
    if (utf8_is_valid(value)) {
      writer_.String(value.data(), static_cast<rapidjson::SizeType>(value.size()));
    } else {
      const std::string repaired = utf8_sanitize(value);
      writer_.String(repaired.data(), static_cast<rapidjson::SizeType>(repaired.size()));
    }
  }
  void text(std::string_view name, std::string_view value) { key(name).text(value); }
  void number(std::string_view name, int64_t value) { key(name).writer_.Int64(value); }
  void real(std::string_view name, double value) { key(name).writer_.Double(value); }
  void flag(std::string_view name, bool value) { key(name).writer_.Bool(value); }
  void null(std::string_view name) { key(name).writer_.Null(); }
  void open() { writer_.StartObject(); }
  void open(std::string_view name) { key(name).open(); }
  void close() { writer_.EndObject(); }
  void open_list(std::string_view name) { key(name).writer_.StartArray(); }
  void close_list() { writer_.EndArray(); }
  std::string take() { return {buffer_.GetString(), buffer_.GetSize()}; }

 private:
  rapidjson::StringBuffer buffer_;
  rapidjson::Writer<rapidjson::StringBuffer> writer_;
};

const char* event_type_name(Event::Type type) {
  switch (type) {
    case Event::Type::created: return "response.created";
    case Event::Type::in_progress: return "response.in_progress";
    case Event::Type::item_added: return "response.output_item.added";
    case Event::Type::search_searching: return "response.file_search_call.searching";
    case Event::Type::search_completed: return "response.file_search_call.completed";
    case Event::Type::item_done: return "response.output_item.done";
    case Event::Type::reasoning_delta: return "response.reasoning_text.delta";
    case Event::Type::reasoning_done: return "response.reasoning_text.done";
    case Event::Type::part_added: return "response.content_part.added";
    case Event::Type::text_delta: return "response.output_text.delta";
    case Event::Type::annotation_added: return "response.output_text.annotation.added";
    case Event::Type::text_done: return "response.output_text.done";
    case Event::Type::part_done: return "response.content_part.done";
    case Event::Type::progress: return "wenqu.progress";
    case Event::Type::notice: return "wenqu.notice";
    case Event::Type::completed: return "response.completed";
    case Event::Type::incomplete: return "response.incomplete";
    case Event::Type::failed: return "response.failed";
  }
  return "wenqu.unknown";
}

const char* state_name(State state) {
  switch (state) {
    case State::in_progress: return "in_progress";
    case State::completed: return "completed";
    case State::incomplete: return "incomplete";
    case State::failed: return "failed";
  }
  return "failed";
}

const char* phase_name(Progress::Phase phase) {
  switch (phase) {
    case Progress::Phase::retrieving: return "retrieving";
    case Progress::Phase::prefill: return "prefill";
    case Progress::Phase::thinking: return "thinking";
    case Progress::Phase::answering: return "answering";
  }
  return "retrieving";
}

bool is_reserved_attribute(std::string_view name) {
  return name == "title" || name == "url" || name == "source" || name == "author" || name == "published_at";
}

void write_locator(Json& json, const retrieval::Locator& locator) {
  if (locator.kind == retrieval::Locator::Kind::none) return;
  json.open("locator");
  json.text("kind", retrieval::locator_name(locator.kind));
  json.number("number", static_cast<int64_t>(locator.number));
  json.close();
}

// Scores of one search as shares of its best, since raw ones compare within a search only. Those of a reranking model may be
// negative, being logarithms of odds: then they are shares of its probability.
class Shares {
 public:
  explicit Shares(bool reranked = false) : are_odds_(reranked) {}

  void add(double score) {
    best_ = any_ ? std::max(best_, score) : score;
    are_odds_ |= score < 0;
    any_ = true;
  }
  double of(double score) const { return measure(best_) > 0 ? measure(score) / measure(best_) : 0; }

 private:
  double measure(double score) const { return are_odds_ ? 1 / (1 + std::exp(-score)) : score; }

  double best_ = 0;
  bool are_odds_, any_ = false;
};

void write_hit(Json& json, const retrieval::Hit& hit, const Shares& shares, int citation, bool with_snippet) {
  json.open();
  json.text("file_id", hit.passage.document_id);
  json.text("filename", hit.title);
  json.real("score", shares.of(hit.score));
  json.text("text", hit.passage.text);
  json.open("attributes");
  json.text("title", hit.title);
  json.text("url", hit.url);
  json.text("source", retrieval::source_name(hit.source));
  json.text("author", hit.author);
  json.text("published_at", hit.published_at);
  for (const auto& [name, value] : hit.attributes)
    if (!is_reserved_attribute(name)) json.text(name, value);
  json.close();
  json.open("wenqu");
  if (citation > 0) json.number("citation", citation);
  json.number("passage", hit.passage.ordinal);
  json.number("char_start", hit.passage.range.begin);
  json.number("char_end", hit.passage.range.end);
  write_locator(json, hit.passage.locator);
  json.text("passage_hash", hit.passage.hash);
  json.real("raw_score", hit.score);
  if (!hit.collection.empty()) json.text("collection", hit.collection);
  if (!hit.copies.empty()) {
    json.open_list("copies");
    for (const std::string& id : hit.copies) json.text(id);
    json.close_list();
  }
  if (with_snippet) {
    json.text("snippet", hit.snippet);
    json.open_list("matches");
    for (const retrieval::CharRange& match : hit.matches) {
      json.open();
      json.number("start", match.begin);
      json.number("end", match.end);
      json.close();
    }
    json.close_list();
  }
  json.close();
  json.close();
}

void write_citation(Json& json, const Citation& citation) {
  const retrieval::Hit& hit = citation.evidence->hit;
  json.open();
  json.text("type", "file_citation");
  json.text("file_id", hit.passage.document_id);
  json.text("filename", hit.title);
  json.number("index", citation.mark.begin);
  json.open("wenqu");
  json.number("citation", citation.number);
  json.number("start_index", citation.mark.begin);
  json.number("end_index", citation.mark.end);
  json.text("url", hit.url);
  json.text("source", retrieval::source_name(hit.source));
  json.number("passage", hit.passage.ordinal);
  json.number("char_start", hit.passage.range.begin);
  json.number("char_end", hit.passage.range.end);
  write_locator(json, hit.passage.locator);
  json.close();
  json.close();
}

void write_text_part(Json& json, const Item& item) {
  json.open();
  json.text("type", "output_text");
  json.text("text", item.text);
  json.open_list("annotations");
  for (const Citation& citation : item.citations) write_citation(json, citation);
  json.close_list();
  json.close();
}

void write_item(Json& json, const Item& item) {
  json.open();
  json.text("id", item.id);
  const char* const status = state_name(item.state);
  const bool done = item.state != State::in_progress;
  switch (item.kind) {
    case Item::Kind::file_search: {
      json.text("type", "file_search_call");
      json.text("status", status);
      json.open_list("queries");
      for (const std::string& query : item.queries) json.text(query);
      json.close_list();
      if (item.state != State::completed) {   // an empty list would say that nothing was found
        json.null("results");
        break;
      }
      Shares shares;
      for (const Evidence* evidence : item.results) shares.add(evidence->hit.score);
      json.open_list("results");
      for (const Evidence* evidence : item.results) write_hit(json, evidence->hit, shares, evidence->number, true);
      json.close_list();
      break;
    }
    case Item::Kind::reasoning:
      json.text("type", "reasoning");
      json.text("status", status);
      json.open_list("summary");
      json.close_list();
      json.open_list("content");
      if (done) {
        json.open();
        json.text("type", "reasoning_text");
        json.text("text", item.text);
        json.close();
      }
      json.close_list();
      if (done) {
        json.open("wenqu");
        json.number("elapsed_ms", item.elapsed_ms);
        json.close();
      }
      break;
    case Item::Kind::message:
      json.text("type", "message");
      json.text("role", "assistant");
      json.text("status", status);
      json.open_list("content");
      if (done) write_text_part(json, item);
      json.close_list();
      break;
  }
  json.close();
}

void write_error(Json& json, const Status& error) {
  json.text("code", status_code_name(error.code()));
  json.text("message", error.to_string());
}

void write_response(Json& json, const Response& response) {
  json.open("response");
  json.text("id", response.id);
  json.text("object", "response");
  json.number("created_at", response.created_at);
  json.text("status", state_name(response.state));
  json.text("model", response.model);
  if (response.previous_id.empty()) json.null("previous_response_id");
  else json.text("previous_response_id", response.previous_id);
  json.open_list("output");
  if (response.state != State::in_progress)
    for (const Item& item : response.items) write_item(json, item);
  json.close_list();
  if (response.state == State::failed) {
    json.open("error");
    write_error(json, response.error);
    json.close();
  } else {
    json.null("error");
  }
  if (response.state == State::incomplete) {
    json.open("incomplete_details");
    json.text("reason", response.incomplete_reason);
    json.close();
  } else {
    json.null("incomplete_details");
  }
  if (response.state == State::in_progress) {
    json.null("usage");
  } else {
    json.open("usage");
    json.number("input_tokens", static_cast<int64_t>(response.usage.input_tokens));
    json.open("input_tokens_details");
    json.number("cached_tokens", static_cast<int64_t>(response.usage.cached_tokens));
    json.close();
    json.number("output_tokens", static_cast<int64_t>(response.usage.output_tokens));
    json.open("output_tokens_details");
    json.number("reasoning_tokens", static_cast<int64_t>(response.usage.reasoning_tokens));
    json.number("drafted_tokens", static_cast<int64_t>(response.usage.drafted_tokens));
    json.number("accepted_tokens", static_cast<int64_t>(response.usage.accepted_tokens));
    json.close();
    json.number("total_tokens", static_cast<int64_t>(response.usage.input_tokens + response.usage.output_tokens));
    json.close();
  }
  json.open("wenqu");
  json.text("mode", assistant::mode_name(response.mode));
  json.flag("extractive", response.extractive);
  if (!response.metadata.empty()) json.text("metadata", response.metadata);
  if (response.state != State::in_progress) {
    json.number("searches", static_cast<int64_t>(response.usage.searches));
    json.open("timings");
    json.number("retrieval_ms", response.timings.retrieval_ms);
    if (response.timings.first_delta_ms < 0)
      json.null("first_delta_ms");
    else
      json.number("first_delta_ms", response.timings.first_delta_ms);
    json.number("thinking_ms", response.timings.thinking_ms);
    json.number("total_ms", response.timings.total_ms);
    json.close();
  }
  json.close();
  json.close();
}

}  // namespace

std::string event_to_json(const Event& event) {
  Json json;
  json.open();
  json.text("type", event_type_name(event.type));
  json.number("sequence_number", static_cast<int64_t>(event.sequence_number));
  json.text("response_id", event.response->id);
  if (event.item) {
    json.text("item_id", event.item->id);
    json.number("output_index", event.item->output_index);
  }
  switch (event.type) {
    case Event::Type::created:
    case Event::Type::in_progress:
    case Event::Type::completed:
    case Event::Type::incomplete:
    case Event::Type::failed:
      write_response(json, *event.response);
      break;
    case Event::Type::item_added:
    case Event::Type::item_done:
      json.key("item");
      write_item(json, *event.item);
      break;
    case Event::Type::search_searching:
    case Event::Type::search_completed:
      break;
    case Event::Type::reasoning_delta:
    case Event::Type::text_delta:
      json.number("content_index", 0);
      json.text("delta", event.delta);
      break;
    case Event::Type::reasoning_done:
      json.number("content_index", 0);
      json.text("text", event.item->text);
      json.open("wenqu");
      json.number("elapsed_ms", event.item->elapsed_ms);
      json.close();
      break;
    case Event::Type::text_done:
      json.number("content_index", 0);
      json.text("text", event.item->text);
      break;
    case Event::Type::part_added: {
      json.number("content_index", 0);
      json.key("part");
      json.open();
      json.text("type", "output_text");
      json.text("text", "");
      json.open_list("annotations");
      json.close_list();
      json.close();
      break;
    }
    case Event::Type::part_done:
      json.number("content_index", 0);
      json.key("part");
      write_text_part(json, *event.item);
      break;
    case Event::Type::annotation_added:
      json.number("content_index", 0);
      json.number("annotation_index", static_cast<int64_t>(event.item->citations.size()) - 1);
      json.key("annotation");
      write_citation(json, *event.citation);
      break;
    case Event::Type::progress:
      json.text("phase", phase_name(event.progress->phase));
      json.number("done", static_cast<int64_t>(event.progress->done));
      json.number("total", static_cast<int64_t>(event.progress->total));
      break;
    case Event::Type::notice:
      json.text("code", event.notice->code);
      json.text("message", event.notice->message);
      break;
  }
  json.close();
  return json.take();
}

std::string error_to_json(const Status& error, int64_t retry_after_ms) {
  Json json;
  json.open();
  json.text("type", "error");
  json.text("code", status_code_name(error.code()));
  json.text("message", error.message());
  if (error.where().empty())
    json.null("param");
  else
    json.text("param", error.where());
  if (retry_after_ms > 0) {
    json.open("wenqu");
    json.number("retry_after_ms", retry_after_ms);
    json.close();
  }
  json.close();
  return json.take();
}

std::string with_stream_id(std::string json, std::string_view stream_id) {
  if (stream_id.empty()) return json;
  Json member;
  member.open();
  member.text("stream_id", stream_id);
  member.close();
  json.back() = ',';
  json.append(member.take(), 1);
  return json;
}

std::string search_to_json(const std::string& query, const retrieval::SearchResponse& response) {
  Json json;
  json.open();
  json.text("object", "wenqu.search");
  json.text("query", query);
  json.number("total", static_cast<int64_t>(response.total));
  json.flag("total_is_exact", response.total_is_exact);
  json.open_list("results");
  Shares shares(response.reranked);
  for (const retrieval::Hit& hit : response.hits) shares.add(hit.score);
  for (const retrieval::Hit& hit : response.hits) write_hit(json, hit, shares, 0, true);
  json.close_list();
  json.close();
  return json.take();
}

}  // namespace wenqu::protocol
