// SPDX-License-Identifier: GPL-3.0-or-later
#include "display.h"

#include <rapidjson/document.h>

#include "text.h"

namespace wenqu_weechat {
namespace {

// Longer lines are shown at the end of a sentence, so that a paragraph does not wait for its last word.
constexpr size_t kLongLine = 240;

std::string_view string_of(const rapidjson::Value& object, const char* name) {
  const auto member = object.FindMember(name);
  if (member == object.MemberEnd() || !member->value.IsString()) return {};
  return {member->value.GetString(), member->value.GetStringLength()};
}

bool ends_sentence(std::string_view text) {
  for (std::string_view end : {"。", "！", "？", ". ", "! ", "? ", "]"})
    if (text.ends_with(end)) return true;
  return false;
}

}  // namespace

void Display::add(Style style, std::string_view delta) {
  line_ += delta;
  for (size_t end; (end = line_.find('\n')) != std::string::npos;) {
    const std::string line = clean(line_.substr(0, end));
    line_.erase(0, end + 1);
    if (!line.empty()) print_(style, line);
  }
  if (line_.size() > kLongLine && ends_sentence(line_)) flush(style);
}

void Display::flush(Style style) {
  const std::string line = clean(line_);
  line_.clear();
  if (!line.empty()) print_(style, line);
}

bool Display::show(std::string_view json) {
  rapidjson::Document event;
  event.Parse<rapidjson::kParseIterativeFlag>(json.data(), json.size());
  if (event.HasParseError() || !event.IsObject()) return false;
  const std::string_view type = string_of(event, "type");
  if (type == "response.completed" || type == "response.incomplete") response_id_ = string_of(event, "response_id");
  if (type == "response.reasoning_text.delta") {
    if (show_thinking_) add(Style::thinking, string_of(event, "delta"));
  } else if (type == "response.reasoning_text.done") {
    flush(Style::thinking);
    long long milliseconds = 0;
    if (const auto ours = event.FindMember("wenqu"); ours != event.MemberEnd() && ours->value.IsObject())
      if (const auto elapsed = ours->value.FindMember("elapsed_ms"); elapsed != ours->value.MemberEnd() && elapsed->value.IsInt64())
        milliseconds = elapsed->value.GetInt64();
    print_(Style::info, "已深度思考（用时 " + std::to_string((milliseconds + 500) / 1000) + " 秒）");
  } else if (type == "response.output_text.delta") {
    add(Style::text, string_of(event, "delta"));
  } else if (type == "response.output_text.annotation.added") {
    const auto note = event.FindMember("annotation");
    if (note == event.MemberEnd() || !note->value.IsObject()) return false;
    const auto ours = note->value.FindMember("wenqu");
    if (ours == note->value.MemberEnd() || !ours->value.IsObject() || !ours->value.HasMember("citation")) return false;
    const int number = ours->value["citation"].IsInt() ? ours->value["citation"].GetInt() : 0;
    if (cited_.insert(number).second) {
      const std::string_view title = string_of(note->value, "filename"), url = string_of(ours->value, "url");
      sources_.push_back("[" + std::to_string(number) + "] " + clean(title) + "  " +
                         clean(url.empty() ? string_of(note->value, "file_id") : url));
    }
  } else if (type == "response.output_text.done") {
    flush(Style::text);
    for (const std::string& source : sources_) print_(Style::info, source);
  } else if (type == "response.incomplete" || type == "response.failed") {
    flush(Style::text);
    std::string why = "unknown";
    if (const auto response = event.FindMember("response"); response != event.MemberEnd() && response->value.IsObject())
      for (const auto& [member, key] : {std::pair{"incomplete_details", "reason"}, {"error", "message"}})
        if (const auto details = response->value.FindMember(member); details != response->value.MemberEnd() && details->value.IsObject())
          why = clean(string_of(details->value, key));
    print_(Style::info, (type == "response.failed" ? "failed: " : "stopped: ") + why);
  }
  return true;
}

}  // namespace wenqu_weechat
